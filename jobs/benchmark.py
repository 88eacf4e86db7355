"""Measure by how much generated images reduce a recognizer's errors: all arms, several seeds.

    python -m jobs.benchmark plate-chars-tail --seeds 5 --out runs/plate-chars-tail

writes report.json and report.html and prints the table. Every finished piece stays in
OUT/seeds, so a stopped benchmark goes on with ``--resume``. Beforehand

    python -m jobs.benchmark plate-chars-tail --tune --seed 100 --out runs/tune

tries recipes for every arm alike, on training images, and writes the best for ``--config``.

A perceptual term, ``--set 'generator.model.perceptual={"comparator": "reader:PATH:LAYER"}'``, is
clean where that recognizer has seen no other image than the draw's: the gain is its training's too.
``{seed}`` in PATH is each seed's number, as in ``runs/plain/seeds/{seed}/bundle``, whose reader was
trained on the same draw by a benchmark without the term.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from augment.errors import ConfigError
from jobs.alone import alone_at
from jobs.cli import (
    absolute_paths,
    absolute_uri,
    at_least,
    choose_device,
    describe_device,
    job_parser,
    local_path,
    print_plan,
    read_settings,
    run_job,
)
from jobs.seeds import SEEDS, TUNE_SEEDS, check_report, run_tasks
from jobs.tasks import SeedTask
from jobs.texts import ALL_SHOTS, add_text_options, benchmark_texts
from jobs.tuning import tune, tune_verification
from jobs.verification import verify, verify_sets
from recognizers.arms import Plan, SeedRun
from recognizers.base import find_recognizer
from recognizers.class_report import build_class_report
from recognizers.comparators import offer_readers
from recognizers.pictures import take_pictures
from recognizers.plans import plan_for
from recognizers.report import format_table, write_report
from recognizers.scenarios import SCENARIOS, Scenario, chars_scenario, find_scenario
from recognizers.sweeps import (
    SHOT_FACTORS,
    ratio_curve,
    ratio_recipes,
    shots_curve,
    shots_recipes,
)
from recognizers.text_scenarios import LINES, TEXT_SCENARIOS
from recognizers.verification_arms import (
    FACES_VERIFY,
    FACES_VERIFY_VIEW_2,
    ReportingView,
    Verification,
)

__all__ = ["main"]

VERIFY_SEEDS = 3  # of the benchmark of pairs, unless the command line says otherwise


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = job_parser(
        "benchmark",
        "Train a recognizer in every arm and report the gain.",
        out=None,
        config="default (the scenario's own plan), or a JSON file of settings to change",
    )
    names = [*SCENARIOS, *TEXT_SCENARIOS, FACES_VERIFY.name, "chars", LINES]
    options.add_argument(
        "scenario", choices=names, help=f"chars needs --data; {LINES} --data and --layout"
    )
    options.add_argument(
        "--data",
        metavar="URI",
        help="another copy of the scenario's data; yours, of chars and lines",
    )
    add_text_options(options)
    options.add_argument(
        "--view",
        type=int,
        choices=(1, 2),
        default=1,
        help=f"of {FACES_VERIFY.name}: 1 for development, 2 to report (ten sets, no seeds)",
    )
    options.add_argument(
        "--shots",
        type=lambda text: text if text == ALL_SHOTS else at_least(1)(text),
        metavar="N",
        help=f"real images a class, or real lines of text in all, there also {ALL_SHOTS}; of "
        f"{FACES_VERIFY.name} the fewest photographs of a person (scenario's own)",
    )
    options.add_argument(
        "--seeds",
        type=at_least(1),
        help=f"draws of real images ({SEEDS}; {FACES_VERIFY.name} {VERIFY_SEEDS}; to tune "
        f"{TUNE_SEEDS})",
    )
    options.add_argument(
        "--quick",
        action="store_true",
        help="a tenth of all training steps, and of the lines of text",
    )
    options.add_argument(
        "--sweep",
        action="store_true",
        help="add curves over amounts of generated and of real images",
    )
    options.add_argument(
        "--tune",
        action="store_true",
        help="try recipes for every arm on training images instead; test images are not read",
    )
    options.add_argument(
        "--against",
        metavar="OUT",
        help="of text, compare generated lines with the real ones of another benchmark, such as "
        "one of more --shots; with --resume nothing is trained again",
    )
    options.add_argument("--resume", action="store_true", help="keep what OUT has finished")
    options.add_argument(
        "--parallel", type=at_least(1), default=1, help="seeds at a time, a process each"
    )
    options.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if present"
    )
    options.add_argument(
        "--recognizer", metavar="MODULE:CLASS", help="your own, by recognizers/base.py"
    )
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job; seeds are numbered from ``--seed``."""
    arguments = parser().parse_args(argv)
    if arguments.tune and arguments.sweep:
        raise ConfigError("--tune and --sweep exclude each other: tune first, then measure.")
    command = shlex.join(
        ["python", "-m", "jobs.benchmark"]
        + [word for word in argv or sys.argv[1:] if word != "--resume"]
    )
    if arguments.scenario in (*TEXT_SCENARIOS, LINES):
        device, out = choose_device(arguments.device, "--device"), results_folder(arguments)
        name = describe_device(device)
        benchmark_texts(arguments, command=command, out=out, device=device, device_name=name)
        return
    if arguments.against:
        raise ConfigError(
            f"--against goes with {', '.join([*TEXT_SCENARIOS, LINES])}; leave it out."
        )
    if arguments.layout or arguments.image_size:
        raise ConfigError(f"--layout and --image-size go with {LINES}; leave them out.")
    scenario = choose_scenario(arguments)
    verifies = isinstance(scenario, Verification)
    if verifies and arguments.sweep:
        raise ConfigError(f"{scenario.name} has no curves over amounts; leave --sweep out.")
    if isinstance(scenario, ReportingView) and arguments.tune:
        raise ConfigError(
            "recipes are tried on the first view, for the second reports; leave out --view 2."
        )
    plan = plan_for(scenario.name, rendered=scenario.rendered)
    plan = read_settings({"default": plan}, arguments.config, arguments.overrides)
    plan = quicken(plan) if arguments.quick else plan
    if arguments.sweep:
        ratio_recipes(plan)  # refuses a plan that has no ratio
    offer_readers()
    plan = replace(plan, generator=absolute_paths(plan.generator))
    device = choose_device(arguments.device, "--device")
    out = results_folder(arguments)
    if isinstance(scenario, ReportingView):
        count = scenario.num_sets()
    else:
        usual = TUNE_SEEDS if arguments.tune else VERIFY_SEEDS if verifies else SEEDS
        count = arguments.seeds or usual
    tasks = [
        SeedTask(scenario, seed, plan, out, arguments.recognizer, device)
        for seed in range(arguments.seed, arguments.seed + count)
    ]
    check_comparators(tasks)
    if arguments.recognizer:
        find_recognizer(arguments.recognizer)
    if not arguments.tune:
        check_report(out, [task.seed for task in tasks])
    if arguments.dry_run:
        print_plan("benchmark", arguments, plan)
        return
    with alone_at(out):
        print("\n" + carry_out(tasks, arguments, command=command, out=out))


def carry_out(
    tasks: Sequence[SeedTask], arguments: argparse.Namespace, *, command: str, out: Path
) -> str:
    """Do what was asked for with all seeds; writes OUT's report and says what is in it."""
    scenario, processes = tasks[0].scenario, arguments.parallel
    device = describe_device(tasks[0].device)
    if arguments.tune:
        work = tune_verification if isinstance(scenario, Verification) else tune
        return work(tasks, out, processes=processes)
    if isinstance(scenario, Verification):
        measure_all = verify_sets if isinstance(scenario, ReportingView) else verify
        return measure_all(tasks, command=command, out=out, device=device, processes=processes)
    finisher = finish_with_sweep if arguments.sweep else finish
    run_tasks(finisher, tasks, processes=processes)
    runs = [task.open() for task in tasks]
    sweeps = sweep_curves(tasks, runs) if arguments.sweep else None
    report = build_class_report(
        runs, scenario, device=device, command=command, out=out, sweeps=sweeps
    )
    page = write_report(out, report, take_pictures(runs[0]))
    return f"{format_table(report)}\n\n{page}"


def results_folder(arguments: argparse.Namespace) -> Path:
    """Where results go.

    Raises:
        ConfigError: there are some already, and ``--resume`` was not given.
    """
    out = local_path(arguments.out, "--out")
    if (out / "seeds").exists() and not arguments.resume:
        raise ConfigError(f"{out} has results already; go on with --resume or give another --out.")
    return out


def choose_scenario(arguments: argparse.Namespace) -> Scenario:
    """The scenario with the data and shots asked for.

    Raises:
        ConfigError: ``chars`` without data; View 2 of another scenario, or with seeds; ``all``
            shots of a class.
    """
    if arguments.shots == ALL_SHOTS:
        raise ConfigError(f"--shots {ALL_SHOTS} goes with text; give a number of images a class.")
    if arguments.view == 2 and arguments.scenario != FACES_VERIFY.name:
        raise ConfigError(f"--view 2 goes with {FACES_VERIFY.name}, got {arguments.scenario}.")
    if arguments.view == 2 and (arguments.seeds or arguments.seed):
        raise ConfigError("View 2 has its ten sets in place of seeds; leave --seeds, --seed out.")
    uri = absolute_uri(arguments.data) if arguments.data else None
    if arguments.scenario == "chars":
        if uri is None:
            raise ConfigError("the scenario chars needs --data URI, got none.")
        return chars_scenario(uri, arguments.shots or 5)
    if arguments.scenario == FACES_VERIFY.name:
        scenario: Scenario = FACES_VERIFY_VIEW_2 if arguments.view == 2 else FACES_VERIFY
    else:
        scenario = find_scenario(arguments.scenario)
    scenario = scenario.with_data(uri) if uri else scenario
    return scenario.with_shots(arguments.shots) if arguments.shots else scenario


def check_comparators(tasks: Sequence[SeedTask]) -> None:
    """Open what a perceptual term compares by, if there is one, before anything is trained.

    Raises:
        ConfigError, BundleError: it cannot be opened, or does not take the scenario's images.
    """
    for task in tasks:
        plan = task.own_plan()
        if getattr(plan.generator.model, "perceptual", None) is not None:
            plan.generator.build_model(task.scenario.draw(task.seed).train)


def quicken(plan: Plan) -> Plan:
    """A tenth of all steps: to see that everything runs, not to measure."""
    return replace(
        plan,
        generator=plan.generator.shortened(10),
        budget=replace(plan.budget, steps=max(10, plan.budget.steps // 10)),
        reader_steps=max(10, plan.reader_steps // 10),
    )


def finish(task: SeedTask) -> None:
    """Train and measure every arm that a seed has not finished yet."""
    task.open().run()


def finish_with_sweep(task: SeedTask) -> None:
    """The same, and every point of the seed's curves."""
    run = task.open()
    run.run()
    run.run(ratio_recipes(task.plan))
    for factor in SHOT_FACTORS:
        if factor > 1:
            task.with_shots(factor).open().run(shots_recipes(task.plan))


def sweep_curves(
    tasks: Sequence[SeedTask], runs: Sequence[SeedRun]
) -> dict[str, list[dict[str, Any]]]:
    """Both curves from the finished cells."""
    runs_by_shots = {
        factor * tasks[0].scenario.shots: (
            runs if factor == 1 else [task.with_shots(factor).open() for task in tasks]
        )
        for factor in SHOT_FACTORS
    }
    return {"real_per_class": shots_curve(runs_by_shots), "ratio": ratio_curve(runs)}


if __name__ == "__main__":
    run_job(main)
