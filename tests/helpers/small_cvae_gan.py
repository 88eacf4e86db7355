"""CVAE-GANs that are quick to try, and one turn of one of their players."""

from dataclasses import replace

import torch

from augment.models.cvae_gan import CVAEGAN, Batch
from augment.models.cvae_gan_config import LABELMINT, CVAEGANConfig
from augment.phases import Losses, Phase

CLASSES, SIZE, CHANNELS = 6, (32, 48), 3
SMALL = {"width": 4, "latent_dim": 8, "label_dim": 5}
COMPACT = replace(LABELMINT, **SMALL)
ASYMMETRIC = replace(COMPACT, adversarial_weight=0.0, classifier_weight=0.0, joint=False)
"""The paper's losses, one player after the other, on networks that are quick to try."""
SEED = 2
"""Of the draws of a turn."""


def make_model(config: CVAEGANConfig = COMPACT) -> CVAEGAN:
    torch.manual_seed(0)
    return CVAEGAN(config, num_classes=CLASSES, image_size=SIZE, channels=CHANNELS)


def make_batch(count: int = 6) -> Batch:
    draws = torch.Generator().manual_seed(1)
    images = torch.rand(count, CHANNELS, *SIZE, generator=draws) * 2 - 1
    labels = torch.arange(count) % CLASSES
    return Batch(images, labels, labels)


def phase_of(model: CVAEGAN, name: str) -> Phase:
    return next(p for p in model.stages()[-1].phases if p.name == name)


def run_phase(model: CVAEGAN, name: str, batch: Batch | None = None) -> Losses:
    """One turn, as the training loop takes it, up to the gradients."""
    phase = phase_of(model, name)
    model.zero_grad(set_to_none=True)
    for player, networks in model.players().items():
        for network in networks:
            network.requires_grad_(player == phase.player)
    losses = phase.losses(batch or make_batch(), torch.Generator().manual_seed(SEED))
    losses.total.backward()
    return losses
