"""Which training set a benchmark of text recommends, and the command that makes it."""

import shlex
from pathlib import Path
from typing import Any

from recognizers.gain import GainReport
from recognizers.recommend import why_best
from recognizers.text_arms import TextRun

__all__ = ["TEXTS_FILE", "recommend_lines", "training_texts"]

TEXTS_FILE = "texts.txt"
"""File beside a report with the texts to make a training set of."""


def recommend_lines(run: TextRun, gain: GainReport, out: Path) -> dict[str, Any]:
    """Recommend what the best arm was trained on.

    Args:
        run: a seed of the benchmark, whose generator is taken.
        gain: what the benchmark found; the arm with the best mean is taken.
        out: where the texts of ``training_texts`` lie, as TEXTS_FILE, and where the command is to
            write the training set.

    Returns:
        "mix" (source to share of a batch), "why" and, where the mix holds lines that are not
        real, the "command" that writes them, and the real ones with them.
    """
    arm = max(gain.arms, key=lambda name: gain.arms[name].mean)
    recipe = run.plan.recipes[arm]
    shares = {"real": recipe.real, "rendered": recipe.rendered, "generated": recipe.generated}
    mix = {source: round(share, 4) for source, share in shares.items() if share > 0}
    why = why_best(gain, arm)
    if recipe.real_only_after < 1:
        why += f" After {recipe.real_only_after:.0%} of the steps only real lines come."
    if not (made := [source for source in mix if source != "real"]):
        return {"mix": mix, "why": f"{why} No lines need to be made."}
    sets = {source: out / f"training-set-{source}" for source in made}
    commands = [_making(run, source, sets[source], out / TEXTS_FILE) for source in made]
    with_real = "real" in mix or recipe.real_only_after < 1
    commands[0] += ["--with-real", run.draw.train.uri] if with_real else []
    real = ", the first with all real training lines of the data" if with_real else ""
    why += (
        f" The command writes {' and '.join(path.name for path in sets.values())}{real}; draw "
        "batches from them in these shares. With --format they come as PaddleOCR, MMOCR, EasyOCR "
        "or others read them."
    )
    return {"mix": mix, "why": why, "command": " && ".join(map(shlex.join, commands))}


def training_texts(run: TextRun) -> list[str]:
    """The texts that a seed's arms have rendered and generated lines of."""
    return run.texts(max(run.plan.rendered_lines, run.plan.generated_lines))


def _making(run: TextRun, source: str, out: Path, texts: Path) -> list[str]:
    """The words of the command that writes rendered or generated lines like the arms'."""
    command = ["python", "-m", "jobs.generate"]
    if source == "generated":
        command += [str(run.bundle_folder), "--count", str(run.plan.generated_lines)]
    else:
        shape = run.shape
        command += [f"renderer:{run.scenario.layout}", "--count", str(run.plan.rendered_lines)]
        command += ["--style-from", run.draw.train.uri]
        command += ["--set", f"height={shape.height}", "--set", f"channels={shape.channels}"]
    return [*command, "--texts", str(texts), "--out", str(out)]
