"""The benchmarks of text: their seeds, report and table; run by ``jobs.benchmark``."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from augment.data.layouts import LAYOUTS
from augment.errors import ConfigError
from augment.files import write_whole
from jobs.alone import alone_at
from jobs.cli import absolute_uri, at_least, local_path, print_plan, read_settings
from jobs.seeds import SEEDS, TUNE_SEEDS, check_report, run_tasks
from jobs.tasks import TextTask
from jobs.tuning import tune_texts
from recognizers.arm_runs import swept_cell
from recognizers.report import format_table, write_report
from recognizers.report_parts import sentence
from recognizers.text_arms import TextPlan
from recognizers.text_comparison import check_baselines, compare_benchmarks, real_lines
from recognizers.text_plans import TEXT_PLAN
from recognizers.text_recommend import TEXTS_FILE, training_texts
from recognizers.text_report import build_text_report, format_text_scores, take_text_pictures
from recognizers.text_scenarios import (
    LINES,
    TEXT_SCENARIOS,
    TextScenario,
    lines_scenario,
)
from recognizers.text_sweeps import amount_curves, amount_recipes

__all__ = [
    "ALL_SHOTS",
    "add_text_options",
    "benchmark_texts",
    "choose_text_scenario",
    "measure_texts",
    "quicken_texts",
]

ALL_SHOTS = "all"
"""What ``--shots`` says for all training lines."""


def benchmark_texts(
    arguments: argparse.Namespace, *, command: str, out: Path, device: str, device_name: str
) -> None:
    """Measure or tune as the command line of ``jobs.benchmark`` asks.

    Args:
        arguments: the command line.
        command: the same in words, for the report.
        out: where results go.
        device: where everything is trained.
        device_name: that device in words.

    Raises:
        ConfigError: an option that text has not.
    """
    if arguments.recognizer or arguments.view == 2:
        raise ConfigError(f"{arguments.scenario} has no --recognizer or --view 2; leave them out.")
    if arguments.tune and arguments.against:
        raise ConfigError("--tune and --against exclude each other: tune first, then compare.")
    scenario = choose_text_scenario(arguments)
    if arguments.shots:
        scenario = scenario.with_shots(None if arguments.shots == ALL_SHOTS else arguments.shots)
    against = local_path(arguments.against, "--against") if arguments.against else None
    if against and not (against / "seeds").is_dir():
        raise ConfigError(f"--against must be the --out of a benchmark, got {against}.")
    plan = read_settings({"default": TEXT_PLAN}, arguments.config, arguments.overrides)
    plan = quicken_texts(plan) if arguments.quick else plan
    if arguments.sweep:
        amount_recipes(plan)  # refuses a plan that has none
    count = arguments.seeds or (TUNE_SEEDS if arguments.tune else SEEDS)
    seeds = range(arguments.seed, arguments.seed + count)
    if not arguments.tune:
        check_report(out, seeds)
    if arguments.dry_run:
        print_plan("benchmark", arguments, plan)
        return
    tasks = [TextTask(scenario, seed, plan, out, device) for seed in seeds]
    processes = arguments.parallel
    with alone_at(out):
        if arguments.tune:
            print("\n" + tune_texts(tasks, out, processes=processes))
        else:
            table = measure_texts(
                tasks,
                command=command,
                out=out,
                device=device_name,
                processes=processes,
                sweep=arguments.sweep,
                against=against,
            )
            print("\n" + table)


def choose_text_scenario(arguments: argparse.Namespace) -> TextScenario:
    """The scenario that a command line names, on the data it names.

    Args:
        arguments: with the options of ``add_text_options``.

    Raises:
        ConfigError: ``lines`` without data or layout, or another scenario with a layout or a size.
        DataError: see ``lines_scenario``.
    """
    uri = absolute_uri(arguments.data) if arguments.data else None
    if arguments.scenario != LINES:
        if arguments.layout or arguments.image_size:
            raise ConfigError(
                f"{arguments.scenario} has its own layout and size; leave out --layout and "
                f"--image-size, or choose {LINES}."
            )
        scenario = TEXT_SCENARIOS[arguments.scenario]
        return scenario.with_data(uri) if uri else scenario
    if uri is None or arguments.layout is None:
        raise ConfigError(
            f"the scenario {LINES} needs --data URI and --layout NAME or FILE, got "
            f"{arguments.data} and {arguments.layout}."
        )
    size = tuple(arguments.image_size) if arguments.image_size else None
    layout = arguments.layout
    if layout not in LAYOUTS:
        layout = str(local_path(layout, "--layout"))  # it will stand in a recommended command
    return lines_scenario(uri, layout, size)


def add_text_options(options: argparse.ArgumentParser) -> None:
    """Add what the scenario ``lines`` needs besides its data."""
    options.add_argument(
        "--layout",
        metavar="LAYOUT",
        help=f"of {LINES}: {', '.join(LAYOUTS)} (free text), or a .toml or .json file",
    )
    options.add_argument(
        "--image-size",
        type=at_least(2),
        nargs=2,
        metavar=("H", "W"),
        help=f"of {LINES}: pixels of plates, height and largest width of free text (32 96, 32 160)",
    )


def measure_texts(
    tasks: Sequence[TextTask],
    *,
    command: str,
    out: Path,
    device: str,
    processes: int = 1,
    sweep: bool = False,
    against: Path | None = None,
) -> str:
    """Train and measure all arms of all seeds; writes report.json, report.html and texts.txt.

    Args:
        tasks: one a seed.
        command: measures it again.
        out: folder of the report.
        device: what it runs on, in words.
        processes: seeds at a time.
        sweep: add curves for several amounts of generated lines.
        against: folder of another benchmark of the scenario, whose real lines the synthetic arm
            is compared with; report.json has it as "against".

    Returns:
        The result as lines for a console.

    Raises:
        DataError: see ``compare_benchmarks``.
    """
    seeds = [task.seed for task in tasks]
    if against is not None:
        check_baselines(against, seeds, tasks[0].scenario)
    run_tasks(finish_with_sweep if sweep else finish, tasks, processes=processes)
    runs = [task.open() for task in tasks]
    report = build_text_report(runs, device=device, command=command, out=out)
    if sweep:
        report["amounts"] = amount_curves(runs)
    compared = ""
    if against is not None:
        gain = compare_benchmarks(out, against, seeds, tasks[0].scenario)
        n_train = real_lines(against)
        report["against"] = {"benchmark": str(against), "n_train": n_train, **gain.to_mapping()}
        over = f"synthetic against {against}, seeds {', '.join(map(str, gain.seeds))}"
        compared = f"  {over}: {sentence(asdict(gain.gain))}\n\n"
    write_whole(out / TEXTS_FILE, "\n".join(training_texts(runs[0])) + "\n")
    page = write_report(out, report, take_text_pictures(runs[0]))
    return f"{format_table(report)}\n\n{format_text_scores(report)}\n\n{compared}{page}"


def quicken_texts(plan: TextPlan) -> TextPlan:
    """A tenth of all steps and lines: to see that everything runs, not to measure."""
    return replace(
        plan,
        generator=plan.generator.shortened(10),
        budget=replace(plan.budget, steps=max(10, plan.budget.steps // 10)),
        reader_steps=max(10, plan.reader_steps // 10),
        generated_lines=max(10, plan.generated_lines // 10),
        rendered_lines=max(10, plan.rendered_lines // 10),
    )


def finish(task: TextTask) -> None:
    """Train and measure every arm that a seed has not finished yet."""
    task.open().run()


def finish_with_sweep(task: TextTask) -> None:
    """The same, and every amount of generated lines."""
    run = task.open()
    run.run()
    own = task.plan.recipes["synthetic"]
    run.run({swept_cell(recipe, own): recipe for recipe in amount_recipes(task.plan).values()})
