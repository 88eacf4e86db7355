"""Editing attributes of an image in the latent space of an autoencoder.

As in VAE/GAN (Larsen et al., 2016, arXiv:1512.09300), an attribute's vector is the mean latent of
the images that have it minus that of the images that have it not, and is added to the latent of
the image to change.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from augment.data.datasets import LabelledImages
from augment.errors import DataError, RequestError
from augment.images import to_tensor
from augment.restoration.autoencoder import Autoencoder

__all__ = ["MAX_CONDITIONAL_STRENGTH", "MAX_STRENGTH", "attribute_vectors", "edit"]

MAX_STRENGTH = 4.0
"""Largest strength of an edit; 1 goes from "has it not" to "has it" as images do on average."""
MAX_CONDITIONAL_STRENGTH = 1.0
"""The same with a model conditioned on attributes: on and off are all that it is told."""


@torch.no_grad()
def attribute_vectors(
    model: Autoencoder,
    data: LabelledImages,
    *,
    batch_size: int = 256,
    device: str | torch.device = "cpu",
) -> Tensor:
    """mean(z | on) − mean(z | off) for each attribute of ``data``.

    Args:
        model: on ``device``, in eval mode; z is the mean of its posterior.
        data: images with attributes.
        batch_size: images encoded at a time.
        device: where the model is.

    Returns:
        (A, latent_dim) float32, on the CPU.

    Raises:
        DataError: no attributes, or one that all images have or none has.
    """
    if data.attributes is None:
        raise DataError(f"expected images with attributes, {data.uri} has none; use celeba: data.")
    on = torch.from_numpy(data.attributes > 0).double()  # (N, A)
    count_on, count_off = on.sum(dim=0), (1 - on).sum(dim=0)
    constant = (torch.minimum(count_on, count_off) == 0).tolist()
    if any(constant):
        names = [name for name, same in zip(data.attribute_names, constant, strict=True) if same]
        raise DataError(
            f"expected images with and without each attribute; of {len(data)} images all or none "
            f"have {', '.join(names)}: add images, or leave these attributes out."
        )
    sum_on, sum_all = torch.zeros(()), torch.zeros(())
    for start in range(0, len(data), batch_size):
        rows = range(start, min(start + batch_size, len(data)))
        z, _ = model.encode(to_tensor(data.images(rows)).to(device))
        z = z.double().cpu()
        sum_on = sum_on + on[start : start + len(z)].T @ z
        sum_all = sum_all + z.sum(dim=0)
    return (sum_on / count_on[:, None] - (sum_all - sum_on) / count_off[:, None]).float()


@torch.no_grad()
def edit(
    model: Autoencoder,
    images: Tensor,
    strengths: Mapping[str, float],
    *,
    names: Sequence[str],
    vectors: Tensor | None = None,
    attributes: Tensor | None = None,
    keep_detail: bool = False,
) -> Tensor:
    """Change attributes of images.

    With ``vectors``, z becomes z + Σ strength · vector. Without, the model is conditioned on
    attributes, and each goes the share |strength| of the way from what it was to on, 1, or where
    strength is negative to off, -1.

    Args:
        model: in eval mode, on the device of the images.
        images: (N, C, H, W) in [-1, 1].
        strengths: attribute to strength in [-MAX_STRENGTH, MAX_STRENGTH], without ``vectors``
            in ±MAX_CONDITIONAL_STRENGTH; negative takes away.
        names: (A,) the attributes the model knows.
        vectors: (A, latent_dim) from ``attribute_vectors``; None for a conditional model.
        attributes: (N, A) of the images, in [-1, 1], for a conditional model; None: unknown, 0,
            between the two that it was trained with.
        keep_detail: add to the images what the edit changes in their reconstructions, so that
            what the model cannot reconstruct stays as it was, instead of returning the decoded
            images.

    Returns:
        (N, C, H, W) in [-1, 1].

    Raises:
        RequestError: an unknown attribute, or a strength that is not finite or out of range.
    """
    limit = MAX_CONDITIONAL_STRENGTH if vectors is None else MAX_STRENGTH
    amounts = _amounts(strengths, names, limit).to(images.device)
    old, new, shift = None, None, torch.zeros(())
    if vectors is not None:
        shift = amounts @ vectors.to(images.device)
    else:
        old = torch.zeros(len(images), len(names)) if attributes is None else attributes
        old = old.to(images.device, torch.float32)
        new = torch.lerp(old, amounts.sign().expand_as(old), amounts.abs())
    z, _ = model.encode(images, old)
    edited = model.decode(z + shift, new)
    if keep_detail:
        edited = (images + edited - model.decode(z, old)).clamp(-1, 1)
    return edited


def _amounts(strengths: Mapping[str, float], names: Sequence[str], limit: float) -> Tensor:
    """(A,) strength of each attribute; 0 where none is asked for."""
    amounts = torch.zeros(len(names))
    for name, strength in strengths.items():
        if name not in names:
            raise RequestError(f"unknown attribute {name!r}; this model knows: {', '.join(names)}.")
        if not math.isfinite(strength) or abs(strength) > limit:
            raise RequestError(
                f"the strength of {name} must be in [-{limit:g}, {limit:g}] with this model, got "
                f"{strength:g}; 1 adds the attribute, -1 takes it away."
            )
        amounts[list(names).index(name)] = strength
    return amounts
