"""Measure by how much generated images reduce a recognizer's errors: all arms, several seeds.

    python -m jobs.benchmark plate-chars-tail --seeds 5 --out runs/plate-chars-tail

writes report.json and report.html and prints the table. Every finished piece stays in
OUT/seeds, so a stopped benchmark goes on with ``--resume``.
"""

import argparse
import shlex
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from augment.errors import ConfigError
from jobs.cli import (
    absolute_location,
    absolute_uri,
    at_least,
    job_parser,
    print_plan,
    read_settings,
    run_job,
)
from jobs.seeds import SeedTask, run_tasks
from recognizers.arms import Plan, SeedRun
from recognizers.gain import measure_gain
from recognizers.plans import plan_for
from recognizers.report import build_report, confusion_section, format_table, write_report
from recognizers.scenarios import SCENARIOS, Scenario, chars_scenario, find_scenario

__all__ = ["main"]

RATIO_SHARES = (0.1, 0.25, 0.5, 0.75)
"""Shares of generated images in a batch that ``--sweep`` tries."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = job_parser(
        "benchmark",
        "Train a recognizer in every arm and report the gain.",
        out=None,
        config="default, or a JSON file of settings",
    )
    options.add_argument("scenario", choices=[*SCENARIOS, "chars"], help="chars needs --data")
    options.add_argument("--data", metavar="URI", help="another copy of the scenario's data")
    options.add_argument("--shots", type=at_least(1), help="real images a class (scenario's own)")
    options.add_argument("--seeds", type=at_least(1), default=5, help="draws of real images")
    options.add_argument("--quick", action="store_true", help="a tenth of all training steps")
    options.add_argument("--sweep", action="store_true", help="add a curve over the ratio")
    options.add_argument("--resume", action="store_true", help="keep what OUT has finished")
    options.add_argument(
        "--parallel", type=at_least(1), default=1, help="seeds at a time, a process each"
    )
    options.add_argument(
        "--recognizer", metavar="MODULE:CLASS", help="your own, by recognizers/base.py"
    )
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job; seeds are numbered from ``--seed``."""
    arguments = parser().parse_args(argv)
    scenario = choose_scenario(arguments)
    plan = plan_for(scenario.name, rendered=scenario.rendered)
    plan = read_settings({"default": plan}, arguments.config, arguments.overrides)
    plan = quicken(plan) if arguments.quick else plan
    out = Path(absolute_location(arguments.out, "--out"))
    if (out / "seeds").exists() and not arguments.resume:
        raise ConfigError(f"{out} has results already; go on with --resume or give another --out.")
    if arguments.dry_run:
        print_plan("benchmark", arguments, plan)
        return
    started = time.monotonic()
    tasks = [
        SeedTask(scenario, seed, plan, out / "seeds" / str(seed), arguments.recognizer)
        for seed in range(arguments.seed, arguments.seed + arguments.seeds)
    ]
    run_tasks(finish_seed, tasks, processes=arguments.parallel)
    runs = [task.open() for task in tasks]
    command = shlex.join(["python", "-m", "jobs.benchmark", *(argv or sys.argv[1:])])
    report = measure(runs, scenario, sweep=arguments.sweep, command=command, started=started)
    page = write_report(out, report)
    print(f"\n{format_table(report)}\n\n{page}")


def choose_scenario(arguments: argparse.Namespace) -> Scenario:
    """The scenario with the data and shots asked for.

    Raises:
        ConfigError: ``chars`` without data.
    """
    uri = absolute_uri(arguments.data) if arguments.data else None
    if arguments.scenario == "chars":
        if uri is None:
            raise ConfigError("the scenario chars needs --data URI, got none.")
        return chars_scenario(uri, arguments.shots or 5)
    scenario = find_scenario(arguments.scenario)
    scenario = scenario.with_data(uri) if uri else scenario
    return scenario.with_shots(arguments.shots) if arguments.shots else scenario


def finish_seed(task: SeedTask) -> None:
    """Train and measure what a seed has not finished yet."""
    task.open().run()


def quicken(plan: Plan) -> Plan:
    """A tenth of all steps: to see that everything runs, not to measure."""
    generator = plan.generator
    steps = generator.model.steps
    fewer = replace(
        steps, **{name: max(1, count // 10) for name, count in vars(steps).items() if count}
    )
    return replace(
        plan,
        generator=replace(generator, model=replace(generator.model, steps=fewer)),
        budget=replace(plan.budget, steps=max(10, plan.budget.steps // 10)),
        reader_steps=max(10, plan.reader_steps // 10),
    )


def measure(
    runs: Sequence[SeedRun], scenario: Scenario, *, sweep: bool, command: str, started: float
) -> dict[str, Any]:
    """Run every seed and put its report together."""
    results = [result for run in runs for result in run.run()]
    test, plan = runs[0].draw.test, runs[0].plan
    focus = {run.seed: run.draw.focus for run in runs}
    gain = measure_gain(
        results, test.labels, test.groups, metric=runs[0].draw.metric, focus_by_seed=focus
    )
    made: Counter[str] = Counter()
    for run in runs:
        made.update(made=run.tally.made, kept=run.tally.kept, dropped=run.tally.dropped)
    return build_report(
        gain,
        scenario=scenario.name,
        describe=scenario.describe,
        n_train=len(runs[0].draw.train),
        steps=dict.fromkeys(gain.arms, plan.budget.steps),
        generated=made,
        bundle=runs[0].bundle().digest,
        seconds=time.monotonic() - started,
        device="cpu",
        command=command,
        confusion=confusion_section(
            results, test.labels, test.classes, before=gain.baseline, focus_by_seed=focus
        ),
        sweeps={"ratio": ratio_curve(runs)} if sweep else None,
    )


def ratio_curve(runs: Sequence[SeedRun]) -> list[dict[str, Any]]:
    """The synthetic arm at several shares of generated images; a curve without a verdict."""
    points = []
    for share in RATIO_SHARES:
        recipes = {
            f"synthetic-{share}": replace(
                run.plan.recipes["synthetic"], rendered=min(0.25, 1 - share), generated=share
            )
            for run in runs[:1]
        }
        scores = [result.curve[-1][1] for run in runs for result in run.run(recipes)]
        points.append({"x": share / max(1e-9, 1 - share), "arms": {"synthetic": scores}})
    return points


if __name__ == "__main__":
    run_job(main)
