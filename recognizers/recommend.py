"""Which training set a benchmark recommends, and the command that makes it."""

import json
import shlex
from pathlib import Path
from typing import Any

from augment.data.content import book_fonts
from recognizers.arms import Plan
from recognizers.gain import CANDIDATE, GainReport
from recognizers.report_parts import percent, words

__all__ = ["recommend", "why_best"]

WITH_GENERATED = ("synthetic", "synthetic_only", "synthetic_existing", "synthetic_new")
"""Arms whose training set holds generated images; the last ones are those of faces-verify."""


def recommend(
    gain: GainReport,
    plan: Plan,
    *,
    bundle: Path,
    data: str,
    classes: int,
    image_size: tuple[int, int],
    out: Path,
    candidate: str = CANDIDATE,
) -> dict[str, Any]:
    """Recommend what the best arm was trained on.

    Args:
        gain: what the benchmark found; the arm with the best mean metric is taken.
        plan: the benchmark's, which knows the arms' recipes.
        bundle: folder of a generator of the benchmark.
        data: URI of the real images.
        classes: how many they have; as many are made where new ones are best.
        image_size: (H, W) of the benchmark's images.
        out: where the command is to write the training set; rendered images go beside it.
        candidate: the arm that ``gain`` has a verdict on.

    Returns:
        "mix" (source to share of a batch), "why" and, where the mix holds generated images,
        the "command" that writes them, on a second line that of rendered ones.
    """
    arm = max(gain.arms, key=lambda name: gain.arms[name].mean)
    recipe = plan.recipes[arm if arm in plan.recipes else "synthetic"]
    shares = {"real": recipe.real, "rendered": recipe.rendered, "generated": recipe.generated}
    mix = {source: round(share, 4) for source, share in shares.items() if share > 0}
    why = why_best(gain, arm, candidate)
    if arm not in WITH_GENERATED:
        return {"mix": mix, "why": f"{why} Generated images are not recommended here yet."}
    parts = ["python", "-m", "jobs.generate", str(bundle)]
    parts += ["--per-label", str(plan.generated_per_class)]
    parts += ["--new-identities", str(classes)] if arm == "synthetic_new" else []
    parts += ["--with-real", data] if "real" in mix else []
    parts += ["--drop-copies", data] if plan.drop_copies else []
    command = shlex.join([*parts, "--out", str(out)])
    why += f" The command writes the {'real and ' * ('real' in mix)}generated images"
    if len(mix) > 1:
        why += "; draw batches from them in these shares"
    if "rendered" in mix:
        why += ", with rendered images, which the second command writes"
        command += "\n" + shlex.join(_render_command(plan, data, image_size, out))
    return {"mix": mix, "why": f"{why}.", "command": command}


def why_best(gain: GainReport, arm: str, candidate: str = CANDIDATE) -> str:
    """The best arm and its lead, and what the verdict adds to that."""
    scores = {name: summary.mean for name, summary in gain.arms.items()}
    best = percent(scores.pop(arm), 2)
    lead = f"The {words(arm)} arm had the best mean {words(gain.metric)}, {best}"
    if scores:
        second = max(scores, key=lambda name: scores[name])
        lead += f"; next came {words(second)} with {percent(scores[second], 2)}"
    if arm in WITH_GENERATED and not (arm == candidate and gain.verdict == "helps"):
        lead += ". Whether the difference is real is not shown yet: more seeds would tell"
    return f"{lead}."


def _render_command(plan: Plan, data: str, image_size: tuple[int, int], out: Path) -> list[str]:
    """What writes the images of the ``rendered`` arm."""
    parts = ["python", "-m", "jobs.generate", "renderer:chars", "--style-from", data]
    parts += ["--per-label", str(plan.rendered_per_class)]
    parts += ["--set", f"image_size={list(image_size)}"]
    files = [font.path for font in plan.generator.fonts() if font.path and font not in book_fonts()]
    parts += ["--set", f"font_files={json.dumps(files)}"] if files else []
    return [*parts, "--out", str(out.with_name(f"{out.name}-rendered"))]
