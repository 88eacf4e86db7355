"""What generators of lines are worth: ``--only lines`` of ``jobs.evaluate``."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from augment.data.line_pairs import LineData
from augment.data.texts import TextImages, open_texts
from augment.errors import ConfigError, DataError
from augment.files import write_whole
from augment.generators.line_saae import load_line_sampler
from jobs.cli import absolute_uri
from jobs.evaluation import EvaluateSettings, parse_draw, write_card
from recognizers.distribution import NEIGHBOURS
from recognizers.line_fidelity import LineJudge, format_line_table, nearest_grid, style_grid
from recognizers.line_report import LinePictures, write_line_pages
from recognizers.text_scenarios import TEXT_SCENARIOS

__all__ = ["LINES", "measure_lines", "open_lines"]

LINES = "lines"
"""Name of the measure."""
SHOWN_TEXTS, SHOWN_STYLES, SHOWN_LINES = 6, 10, 40
"""Of the pictures."""


def measure_lines(
    folders: Mapping[str, Path],
    locations: Mapping[str, str],
    uri: str,
    settings: EvaluateSettings,
    *,
    seed: int,
    out: Path,
    command: str,
) -> None:
    """Print lines.md; write it with report.html, report.json and the bundles' cards.

    Args:
        folders: bundle's reference to its local folder.
        locations: reference to where the bundle was asked for.
        uri: labelled lines with a train split and others, or draw:SCENARIO/SEED.
        settings: ``generated`` and ``judge_steps`` count.
        seed: of everything random.
        out: an existing folder.
        command: measures it again.

    Raises:
        ConfigError: bundles of different layouts or shapes.
        DataError: data without training lines, or with too few held out.
    """
    samplers = {
        name: load_line_sampler(folder, device=settings.device) for name, folder in folders.items()
    }
    forms = {(sampler.layout.name, sampler.shape) for sampler in samplers.values()}
    if len(forms) > 1:
        raise ConfigError(
            f"expected bundles of one layout and shape, got {sorted(map(str, forms))}; evaluate "
            "them one by one."
        )
    first = next(iter(samplers.values()))
    train, held_out = open_lines(uri)
    data = LineData.select(train, first.layout, first.shape)
    judge = LineJudge(
        data,
        held_out,
        settings.judge_budget,
        seed=seed,
        device=settings.device,
        writes=lambda text: all(sampler.form.writes(text) for sampler in samplers.values()),
    )
    if (half := min(len(judge.compared), len(judge.other))) <= NEIGHBOURS:
        raise DataError(
            f"{uri}: expected {NEIGHBOURS + 1} or more held-out lines that the bundles can write "
            f"in each of two halves, which are compared, got {half}; give more val or test lines."
        )
    if left_out := len(data) - len(judge.lessons):
        print(
            f"{left_out} of {len(data)} training lines are not taught: a bundle cannot write them"
        )
    rows, pictures = [judge.real_row()], {}
    texts = list(dict.fromkeys(judge.other.texts))[:SHOWN_TEXTS]
    for name, sampler in samplers.items():
        rows.append(judge.row(name, sampler, settings.generated))
        styles = np.linspace(0, sampler.num_styles - 1, SHOWN_STYLES).astype(int).tolist()
        shown = [judge.other.texts[row % len(judge.other)] for row in range(SHOWN_LINES)]
        drawn = sampler.draw_texts(shown, np.arange(SHOWN_LINES), seed).images
        pictures[name] = LinePictures(
            style_grid(sampler, texts, styles), nearest_grid(drawn, data.images)
        )
    table = format_line_table(rows)
    about = {"data": uri, "seed": seed, "settings": asdict(settings), "command": command}
    write_whole(out / f"{LINES}.md", table)
    print(table, end="")
    print(write_line_pages(out, rows, about, pictures))
    for name, row in zip(samplers, rows[1:], strict=True):
        new = {
            LINES: {
                "section": asdict(row),
                "real": asdict(rows[0]),
                "table": format_line_table([rows[0], row]),
                "data": uri,
                "seeds": [seed],
                "command": command,
            }
        }
        write_card(name, folders[name], locations[name], new)


def open_lines(uri: str) -> tuple[TextImages, TextImages]:
    """The training lines of ``--data`` and the lines held out.

    Args:
        uri: of labelled lines; or ``draw:SCENARIO/SEED``, what a benchmark's seed was trained and
            tested on.

    Raises:
        ConfigError: no such scenario or seed.
        DataError: no training lines, or see ``open_texts``.
    """
    if (drawn := parse_draw(uri)) is None:
        data = open_texts(absolute_uri(uri), real_only=True)
        held_out = np.flatnonzero(data.splits != "train")
        if not len(held_out):
            raise DataError(
                f"{uri}: expected val or test lines to compare generated ones with, got "
                f"{len(data)} of train alone; name a split for some, or give other data."
            )
        return data.split("train"), data.subset(held_out)
    name, seed = drawn
    if name not in TEXT_SCENARIOS:
        raise ConfigError(f"expected a seed of {', '.join(TEXT_SCENARIOS)}, got {uri!r}.")
    draw = TEXT_SCENARIOS[name].draw(seed)
    return draw.train, draw.test
