"""How well faces are reconstructed: the table of the masked VAE's paper.

Toledo and Antonelo, arXiv:2112.02139, compare losses with and without masks by six figures, all
the smaller the better, over test images. Ours are of face pixels, after the test images' own
masks, and of what was decoded from z = μ there: the predicted mask has no part in them, as its
composite would show the answer wherever it misses the face.

    1−SSIM      of the SSIM map averaged over channels and face pixels (11×11 windows, σ = 1.5)
    1−MS-SSIM   as many of the five scales as fit: three at 64 pixels, four at 144; exponents
                scaled to sum 1
    LPIPS       AlexNet's, where its weights are at hand
    1−VIF       in the pixel domain
    10·l1       mean absolute difference over face pixels, on [0, 1]
    10·l2       root of the mean squared difference over face pixels, on [0, 1]: the published l2
                is larger than l1, as only the root can be

MS-SSIM, LPIPS and VIF have no value a pixel: both pictures have the test image's background.
Functions of images take (N, C, H, W) in [-1, 1] and return (N,).
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
    visual_information_fidelity,
)
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
from torchvision.models import get_model_weights

from augment.bundle import load_bundle, load_tensors
from augment.data.datasets import LabelledImages
from augment.errors import BundleError, DataError
from augment.images import to_tensor
from augment.losses.structure import l1_within, l2_within
from recognizers.tables import markdown_table

__all__ = [
    "MIN_MEASURED_SIDE",
    "ReconstructionRow",
    "Scores",
    "find_lpips",
    "format_masked_table",
    "l1_error",
    "l2_error",
    "lpips_distance",
    "masked_table",
    "ms_ssim_distance",
    "score_reconstructions",
    "ssim_distance",
    "vif_distance",
]

MIN_MEASURED_SIDE = 41
"""Least side of an image, pixels: VIF's four scales need it."""
MS_SSIM_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the five scales, finest first (Wang et al., 2003)."""
WINDOW = 11
"""Side of SSIM's window in the measures, pixels."""
BACKBONES = {"alex": "alexnet", "squeeze": "squeezenet1_1"}
"""LPIPS networks and torchvision's names for them."""
BATCH = 64
"""Images measured at a time."""


@dataclass(frozen=True)
class Scores:
    """The six figures, means over test images; lpips is None without weights."""

    one_minus_ssim: float
    one_minus_ms_ssim: float
    lpips: float | None
    one_minus_vif: float
    ten_l1: float
    ten_l2: float


@dataclass(frozen=True)
class ReconstructionRow:
    """One model of the table."""

    bundle: str
    reconstruction: str  # the loss's name: l1, l2, ssim, l1+ssim, l2+ssim
    masked: bool
    images: int
    scores: Scores


def ssim_distance(images: Tensor, targets: Tensor, face_masks: Tensor) -> Tensor:
    """1 − SSIM, its map averaged over channels and face pixels."""
    _, similarity = structural_similarity_index_measure(
        _unit(images),
        _unit(targets),
        kernel_size=WINDOW,
        data_range=1.0,
        reduction="none",
        return_full_image=True,
    )
    return l1_within(similarity, torch.ones_like(similarity), face_masks)  # SSIM is at most 1


def ms_ssim_distance(images: Tensor, targets: Tensor) -> Tensor:
    """1 − MS-SSIM over as many scales as fit."""
    side = min(images.shape[2:])
    scales = max(n for n in range(1, 6) if side // max(1, n - 1) ** 2 >= WINDOW)
    exponents = np.array(MS_SSIM_EXPONENTS[:scales])
    similarity: Tensor = multiscale_structural_similarity_index_measure(
        _unit(images),
        _unit(targets),
        kernel_size=WINDOW,
        data_range=1.0,
        reduction="none",
        betas=tuple((exponents / exponents.sum()).tolist()),
    )
    return 1 - similarity


def vif_distance(images: Tensor, targets: Tensor) -> Tensor:
    """1 − VIF of the images, given the targets; its noise is meant for [0, 255]."""
    x, y = 255 * _unit(images), 255 * _unit(targets)
    return 1 - visual_information_fidelity(x, y, reduction="none")


def l1_error(images: Tensor, targets: Tensor, face_masks: Tensor) -> Tensor:
    """Mean absolute difference over channels and face pixels, on [0, 1]."""
    return l1_within(_unit(images), _unit(targets), face_masks)


def l2_error(images: Tensor, targets: Tensor, face_masks: Tensor) -> Tensor:
    """Root of the mean squared difference over channels and face pixels, on [0, 1]."""
    return l2_within(_unit(images), _unit(targets), face_masks).sqrt()


def lpips_distance(
    images: Tensor, targets: Tensor, lpips: LearnedPerceptualImagePatchSimilarity
) -> Tensor:
    """LPIPS by a network from ``find_lpips``; gray images are shown to it as RGB."""
    shape = (-1, 3, -1, -1)
    distances: Tensor = lpips(images.expand(shape).clamp(-1, 1), targets.expand(shape))
    lpips.reset()
    return distances.reshape(-1)


def find_lpips(
    net: Literal["alex", "squeeze"] = "alex",
) -> LearnedPerceptualImagePatchSimilarity | None:
    """LPIPS, if the network's ImageNet weights lie in torch's cache; nothing is downloaded.

    The cache is $TORCH_HOME/hub/checkpoints, the file the one that torchvision would put there.

    Returns:
        The measure on the CPU; None without weights.
    """
    file = get_model_weights(BACKBONES[net]).DEFAULT.url.rpartition("/")[2]
    if not (Path(torch.hub.get_dir()) / "checkpoints" / file).is_file():
        return None
    return LearnedPerceptualImagePatchSimilarity(net, reduction="none")


@torch.no_grad()
def score_reconstructions(
    decoded: Tensor,
    images: Tensor,
    face_masks: Tensor,
    lpips: LearnedPerceptualImagePatchSimilarity | None = None,
) -> dict[str, Tensor]:
    """Measure what was decoded of faces.

    Args:
        decoded: (N, C, H, W) in [-1, 1].
        images: the same, what should have been decoded.
        face_masks: (N, 1, H, W), 1 = face; each with some.
        lpips: from ``find_lpips``, on the device of the images.

    Returns:
        The fields of ``Scores``, each (N,); without ``lpips`` where there is none.

    Raises:
        DataError: images smaller than MIN_MEASURED_SIDE.
    """
    if min(images.shape[2:]) < MIN_MEASURED_SIDE:
        raise DataError(
            f"expected images of at least {MIN_MEASURED_SIDE} pixels a side, got "
            f"{images.shape[2]}×{images.shape[3]}; open the data in a larger size."
        )
    shown = decoded * face_masks + images * (1 - face_masks)
    scores = {
        "one_minus_ssim": ssim_distance(shown, images, face_masks),
        "one_minus_ms_ssim": ms_ssim_distance(shown, images),
        "one_minus_vif": vif_distance(shown, images),
        "ten_l1": 10 * l1_error(shown, images, face_masks),
        "ten_l2": 10 * l2_error(shown, images, face_masks),
    }
    if lpips is not None:
        scores["lpips"] = lpips_distance(shown, images, lpips)
    return scores


def masked_table(
    bundles: Mapping[str, Path],
    data: LabelledImages,
    face_masks: NDArray[np.uint8],
    *,
    lpips: LearnedPerceptualImagePatchSimilarity | None = None,
    device: str | torch.device = "cpu",
) -> list[ReconstructionRow]:
    """Measure masked VAEs on the same test images.

    Args:
        bundles: name to a local bundle's folder.
        data: test images, none of them trained on, in the bundles' image size.
        face_masks: (N, H, W) their masks, 1 = face.
        lpips: from ``find_lpips``.
        device: where to run.

    Returns:
        One row a bundle, in their order.

    Raises:
        BundleError: a bundle of another architecture.
        DataError: other image sizes than a bundle's or smaller than MIN_MEASURED_SIDE, not a mask
            for each image, or one without any face.
    """
    if face_masks.shape != (len(data), *data.image_size):
        raise DataError(
            f"expected masks of shape {(len(data), *data.image_size)}, one an image, got "
            f"{face_masks.shape}; make them from these images."
        )
    empty = np.flatnonzero(~face_masks.any(axis=(1, 2)))
    if len(empty):
        raise DataError(
            f"expected face pixels in every mask, got none for {data.names[empty[0]]}; "
            "leave that image out."
        )
    lpips = None if lpips is None else lpips.to(device)
    rows = []
    for name, folder in bundles.items():
        model, settings = _load(name, folder, data)
        scores = _score_model(model.eval().to(device), data, face_masks, lpips)
        rows.append(
            ReconstructionRow(
                name, settings["reconstruction"], settings["masked"], len(data), scores
            )
        )
    return rows


def format_masked_table(rows: Sequence[ReconstructionRow]) -> str:
    """The rows as a Markdown table, ending in a line break; columns as in the paper."""
    measures = ("1−SSIM", "1−MS-SSIM", "LPIPS", "1−VIF", "10·l1", "10·l2")
    cells = []
    for row in rows:
        figures = [
            "no weights" if figure is None else f"{figure:.3f}" for figure in astuple(row.scores)
        ]
        cells.append((row.bundle, row.reconstruction, "yes" if row.masked else "no", *figures))
    return markdown_table(("bundle", "loss", "face masks", *measures), cells)


def _load(name: str, folder: Path, data: LabelledImages) -> tuple[nn.Module, Mapping[str, Any]]:
    """A bundle's model and its settings."""
    info = load_bundle(folder)
    if info.architecture != "masked_vae":
        raise BundleError(f"{name}: expected a masked_vae bundle, got one of {info.architecture}.")
    if (info.image_size, info.channels) != (data.image_size, data.channels):
        raise DataError(
            f"{name}: expected images of {info.image_size[0]}×{info.image_size[1]}×{info.channels},"
            f" got {data.image_size[0]}×{data.image_size[1]}×{data.channels}; open the data in the "
            "bundle's size."
        )
    model = info.build_model()
    model.load_state_dict(load_tensors(folder))
    return model, info.model


@torch.no_grad()
def _score_model(
    model: nn.Module,
    data: LabelledImages,
    face_masks: NDArray[np.uint8],
    lpips: LearnedPerceptualImagePatchSimilarity | None,
) -> Scores:
    """Means over all images of what a model decodes from z = μ."""
    device = next(model.parameters()).device
    parts = []
    for start in range(0, len(data), BATCH):
        rows = np.arange(start, min(start + BATCH, len(data)))
        images = to_tensor(data.images(rows)).to(device)
        regions = torch.from_numpy(face_masks[rows, None]).float().to(device)
        mu, _ = model.encode(images)  # type: ignore[operator]
        decoded = model.decode(mu)  # type: ignore[operator]
        parts.append(score_reconstructions(decoded, images, regions, lpips))
    means = {key: float(torch.cat([part[key] for part in parts]).mean()) for key in parts[0]}
    return Scores(lpips=means.pop("lpips", None), **means)


def _unit(images: Tensor) -> Tensor:
    """[-1, 1] to [0, 1]."""
    return (images.float() + 1) / 2
