"""Measure how well a reader of text tells wrongly drawn lines from right ones.

    python -m jobs.read_back plates --out runs/read-back

trains a reader on all training lines of a text scenario and on rendered ones, draws lines of
which a share shows another text than its label, a character being missing, replaced or (in free
text) doubled, and writes reader.json: the ROC, how many right lines are lost where 95 % of the
wrong ones are dropped, how many of each kind of wrong ones are, and which characters of lines
that were not spoilt were read as others, by character and by place; and lines.npz: pixels,
widths, labels, what was drawn, what is wrong with it, what was read and the scores. The lines are
drawn by a generator given as ``--bundle``, otherwise by the renderer, in the looks of lines that
were not trained on.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from augment.data.layouts import EMPTY_PLACE
from augment.errors import ConfigError
from augment.files import write_whole
from augment.generators.line_saae import load_line_sampler
from jobs.alone import alone_at
from jobs.cli import (
    at_least,
    choose_device,
    find_bundle,
    job_parser,
    local_path,
    print_plan,
    read_settings,
    run_job,
)
from jobs.texts import add_text_options, choose_text_scenario
from recognizers.arrays import save_arrays
from recognizers.text_arms import TextPlan, TextRun
from recognizers.text_metrics import ErrorReport, report_errors
from recognizers.text_mixing import LabelledLines
from recognizers.text_plans import TEXT_PLAN
from recognizers.text_reader import Planted, ReaderQuality, plant_errors, reader_quality
from recognizers.text_scenarios import LINES, TEXT_SCENARIOS, TextScenario
from recognizers.text_sources import is_drawable, render_lines, sample_texts

__all__ = ["format_errors", "main"]

WORST = 12
"""Characters shown on the screen; reader.json has all."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = job_parser(
        "read_back",
        "Measure a reader of text on planted errors.",
        out=None,
        config="default (the scenario's own plan), or a JSON file of settings to change",
    )
    options.add_argument(
        "scenario", choices=[*TEXT_SCENARIOS, LINES], help=f"{LINES} needs --data and --layout"
    )
    options.add_argument(
        "--data", metavar="URI", help="another copy of the scenario's data; yours, of lines"
    )
    add_text_options(options)
    options.add_argument("--bundle", help="a generator of lines; the renderer where none")
    options.add_argument("--lines", type=at_least(20), default=2000, help="lines to draw")
    options.add_argument(
        "--share", type=float, default=0.05, help="share of the lines that are drawn wrong"
    )
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job.

    Raises:
        ConfigError: the same as a benchmark's, or results are there already.
    """
    arguments = parser().parse_args(argv)
    plan = replace(TEXT_PLAN, reader_folds=1)
    plan = replace(plan, reader_steps=plan.budget.steps)
    plan = read_settings({"default": plan}, arguments.config, arguments.overrides)
    out = local_path(arguments.out, "--out")
    if (out / "reader.json").exists():
        raise ConfigError(f"{out} has results already; give another --out.")
    scenario = choose_text_scenario(arguments).with_shots(None)
    if arguments.dry_run:
        print_plan("read_back", arguments, plan)
        return
    with alone_at(out):
        quality, errors = measure(arguments, scenario, plan, out)
    found = quality.to_mapping() | {"errors": errors.to_mapping()}
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    write_whole(out / "reader.json", text)
    print(
        f"{quality.n_wrong} wrong among {quality.n_wrong + quality.n_right:,} lines: AUC "
        f"{quality.auc:.4f}; with 95 % of the wrong ones {100 * quality.right_lost:.1f} % of the "
        f"right ones are dropped. By exact match {100 * quality.exact_wrong_dropped:.1f} % of the "
        f"wrong and {100 * quality.exact_right_lost:.1f} % of the right ones are.\n\n"
        f"{format_kinds(quality)}\n\n{format_errors(errors)}\n\n{out / 'reader.json'}"
    )


def format_kinds(quality: ReaderQuality) -> str:
    """How many lines of each kind of error were planted and dropped, as a table."""
    rows = [f"  {'character':<12}{'planted':>9}{'dropped':>9}{'by exact match':>16}"]
    for kind, lines in quality.by_kind.items():
        rows.append(f"  {kind:<12}{lines.n:>9,}{lines.dropped:>9,}{lines.exact_dropped:>16,}")
    return "\n".join(rows)


def format_errors(errors: ErrorReport) -> str:
    """The characters misread most often and every place in the text, as two tables."""
    worst = sorted(errors.by_class.items(), key=lambda item: (-item[1][1] / item[1][0], item[0]))
    rows = [f"  {'character':<12}{'written':>9}{'misread':>9}"]
    rows += [_row(character, *counts) for character, counts in worst[:WORST]]
    rows += ["", f"  {'place':<12}{'written':>9}{'misread':>9}"]
    rows += [_row(str(1 + place), *counts) for place, counts in errors.by_position.items()]
    return "\n".join(rows)


def _row(name: str, written: int, misread: int) -> str:
    return f"  {name:<12}{written:>9,}{100 * misread / written:>7.1f} %"


def measure(
    arguments: argparse.Namespace, scenario: TextScenario, plan: TextPlan, out: Path
) -> tuple[ReaderQuality, ErrorReport]:
    """Train the reader, draw the lines and let it judge them.

    Returns:
        How well it tells wrong lines from right ones, and what became of the characters of the
        lines that were not spoilt: errors of the drawing and of the reading together.
    """
    draw = scenario.draw(arguments.seed)
    run = TextRun(scenario, draw, arguments.seed, plan, out, device=choose_device("auto"))
    real = run.trainable.texts
    labels = sample_texts(real, run.layout, run.charset, arguments.lines, arguments.seed + 1)
    gappy = run.layout.with_gaps()
    planted = plant_errors(
        labels,
        run.layout.alphabet,
        share=arguments.share,
        seed=arguments.seed,
        allows=lambda text: is_drawable(text, gappy),
        empty="" if gappy.is_free else EMPTY_PLACE,
    )
    drawn = draw_planted(arguments, run, planted)
    reader = run.train_reader()
    read, scores = reader.read(drawn.lines).texts, reader.scores(drawn.lines, labels)
    save_arrays(
        out / "lines.npz",
        pixels=drawn.lines.pixels,
        widths=drawn.lines.widths,
        labels=np.array(labels, np.str_),
        drawn=np.array(planted.drawn, np.str_),
        read=np.array(read, np.str_),
        kinds=planted.kinds,
        scores=scores,
    )
    quality = reader_quality(read, scores, labels, planted.kinds, reader.charset)
    sound = np.flatnonzero(~planted.is_wrong).tolist()
    errors = report_errors(
        [read[row] for row in sound], [labels[row] for row in sound], reader.charset
    )
    return quality, errors


def draw_planted(arguments: argparse.Namespace, run: TextRun, planted: Planted) -> LabelledLines:
    """Lines that show the planted texts."""
    if arguments.bundle:
        sampler = load_line_sampler(find_bundle(arguments.bundle), device=run.device).with_gaps()
        numbers = np.arange(len(planted.drawn))
        images = sampler.draw_texts(planted.drawn, numbers, arguments.seed).images
        return LabelledLines.stacked(images, planted.drawn, run.shape)
    data = run.scenario.open()
    held_back = data.subset(np.flatnonzero(data.splits != "train"))
    layout = run.layout.with_gaps()
    return render_lines(held_back, layout, run.shape, planted.drawn, arguments.seed + 1)


if __name__ == "__main__":
    run_job(main)
