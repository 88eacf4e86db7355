"""SAAE on whole lines: content a rendered line, style a photographed one, of any width.

Zhao et al., "Stylized Adversarial AutoEncoder for Image Generation", ACM MM 2017, applied to
plates and words. Symbols and the three-step training are those of ``augment.models.saae``.

Departures from the paper are listed in ``line_saae_config``.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augment.data.line_pairs import NO_CHARACTER, LineBatch
from augment.data.line_poses import sample_boxes
from augment.diffaugment import diff_augment
from augment.errors import ConfigError
from augment.losses.adversarial import class_or_fake, real_or_fake
from augment.losses.reading import ctc_distance
from augment.losses.reconstruction import l1_distance, l2_distance
from augment.models.line_saae_config import LABELMINT, PAPER, LineSAAEConfig
from augment.models.line_saae_networks import (
    CONTENT_CHANNELS,
    CharacterDiscriminator,
    Decoder,
    LineDiscriminator,
    StyleEncoder,
)
from augment.models.saae import ContentEncoder
from augment.phases import Losses, Phase, Stage

__all__ = ["LABELMINT", "PAPER", "SILENT", "UNREAD", "LineSAAE", "LineSAAEConfig"]

UNREAD = -1
"""Number of a character that a recognizer does not know."""
SILENT = 0
"""Number of a character that a recognizer passes over: a space."""
INK_REACH = 2
"""Pixels around ink that are not called ground."""


class LineSAAE(nn.Module):
    """The networks, what each player moves, and the three stages of training.

    Args:
        config: architecture, losses and steps.
        num_classes: k, characters of the alphabet.
        image_size: (H, widest W); of the two only H binds the networks.
        channels: 1 or 3.
    """

    def __init__(
        self,
        config: LineSAAEConfig,
        *,
        num_classes: int,
        image_size: tuple[int, int],
        channels: int,
    ) -> None:
        super().__init__()
        self.config, self.image_size = config, image_size
        self.content_encoder = ContentEncoder(config.width, config.halvings, CONTENT_CHANNELS)
        self.style_encoder = StyleEncoder(config, channels)
        self.decoder = Decoder(config, channels)
        self.discriminator = CharacterDiscriminator(config, num_classes, channels)
        self.line_discriminator = LineDiscriminator(config, channels)
        self._listening: tuple[nn.Module, Tensor] | None = None

    def forward(self, contents: Tensor, styles: Tensor) -> Tensor:
        """G(c, s), the style encoded: (N, 2, H, W), (N, style_length) to (N, C, H, W)."""
        images: Tensor = self.decoder(contents, self.content_encoder(contents), styles)
        return images

    def encode_style(self, images: Tensor) -> Tensor:
        """Enc_s(s): (N, C, H, W) in [-1, 1], any W, to (N, style_length)."""
        style: Tensor = self.style_encoder(images)
        return style

    def listen_to(self, recognizer: nn.Module, numbers: Sequence[int]) -> None:
        """Have ``recognizer_weight`` weigh what a recognizer reads; it stays as it is.

        Args:
            recognizer: (N, C, H, W) in [-1, 1] to log-probabilities (N, T, K), the blank first.
            numbers: its class, above 0, for each of the k characters; SILENT for those that it
                passes over, UNREAD where it has none. Lines with an UNREAD one are not weighed.
        """
        recognizer.eval().requires_grad_(False)
        self._listening = recognizer, torch.tensor(numbers)

    def players(self) -> dict[str, list[nn.Module]]:
        """Which networks each player moves."""
        return {
            "generator": [self.content_encoder, self.style_encoder, self.decoder],
            "discriminator": [self.discriminator, self.line_discriminator],
        }

    def stages(self) -> list[Stage]:
        """The three-step training.

        Raises:
            ConfigError: ``recognizer_weight`` without a recognizer to listen to.
        """
        if self.config.recognizer_weight and self._listening is None:
            raise ConfigError(
                f"recognizer_weight is {self.config.recognizer_weight}, but there is no "
                "recognizer; hand one to listen_to, or set it to 0."
            )
        reconstruct = Phase(
            "reconstruct", "generator", "the distance between x and G(c, s)", self._reconstruct
        )
        discriminate = Phase(
            "discriminator",
            "discriminator",
            "cross-entropy: characters of real lines to their classes, generated ones to class "
            "k+1; and of the patches of a line to real or generated",
            self._discriminate,
        )
        generate = Phase(
            "generator",
            "generator",
            "reconstruction, cross-entropy of each character to its class, of patches to real",
            self._generate,
        )
        steps = self.config.steps
        return [
            Stage("reconstruct", steps.reconstruct, (reconstruct,)),
            Stage("discriminate", steps.discriminate, (discriminate,)),
            Stage("alternate", steps.alternate, (discriminate, generate)),
        ]

    def _reconstruct(self, batch: LineBatch, draws: torch.Generator) -> Losses:
        x_tilde = self(batch.contents, self.encode_style(batch.images))
        rec = self._distance(x_tilde, batch.images)
        return Losses(rec.mean(), {"reconstruction": rec})

    def _discriminate(self, batch: LineBatch, draws: torch.Generator) -> Losses:
        wanted, _ = self._mix_texts(batch)
        with torch.no_grad():
            fakes = self(wanted.contents, self.encode_style(batch.images))
        real = self._read(batch.images, batch, draws, real=True)
        fake = self._read(fakes, wanted, draws, real=False)
        total, terms = real.mean() + fake.mean(), {"real": real, "fake": fake}
        if self.config.line_weight:
            line = self._judge(batch.images, draws, real=True)
            line = line + self._judge(fakes, draws, real=False)
            total, terms["line"] = total + self.config.line_weight * line.mean(), line
        return Losses(total, terms)

    def _generate(self, batch: LineBatch, draws: torch.Generator) -> Losses:
        wanted, unpaired = self._mix_texts(batch)
        images = self(wanted.contents, self.encode_style(batch.images))
        rec = self._distance(images[unpaired:], batch.images[unpaired:])
        adv = self._read(images, wanted, draws, real=True)
        config = self.config
        total = (
            config.reconstruction_weight * (rec.mean() if len(rec) else images.sum() * 0)
            + config.adversarial_weight * adv.mean()
        )
        terms = {"reconstruction": rec, "adversarial": adv}
        if config.line_weight:
            line = self._judge(images, draws, real=True)
            total, terms["line"] = total + config.line_weight * line.mean(), line
        if config.ground_weight and unpaired:
            old, new = batch.contents[:unpaired, :1], wanted.contents[:unpaired, :1]
            ground = ground_distance(images[:unpaired], batch.images[:unpaired], old, new)
            total, terms["ground"] = total + config.ground_weight * ground.mean(), ground
        if config.recognizer_weight:
            read = self._misread(images, wanted.labels)
            total, terms["read"] = total + config.recognizer_weight * read.mean(), read
        return Losses(total, terms)

    def _mix_texts(self, batch: LineBatch) -> tuple[LineBatch, int]:
        """What G is to write: on the first lines another text.

        Returns:
            The batch as it should look, its images aside, and how many of the first are unpaired.
        """
        unpaired = int(len(batch.images) * self.config.unpaired_share)
        rows = torch.arange(len(batch.images), device=batch.images.device) < unpaired

        def mixed(new: Tensor, own: Tensor) -> Tensor:
            return torch.where(rows.view(-1, *[1] * (own.ndim - 1)), new, own)

        wanted = batch._replace(
            contents=mixed(batch.new_contents, batch.contents),
            labels=mixed(batch.new_labels, batch.labels),
            boxes=mixed(batch.new_boxes, batch.boxes),
        )
        return wanted, unpaired

    def _distance(self, images: Tensor, targets: Tensor) -> Tensor:
        measure = l1_distance if self.config.reconstruction == "l1" else l2_distance
        return measure(images, targets)

    def _read(
        self, images: Tensor, told: LineBatch, draws: torch.Generator, *, real: bool
    ) -> Tensor:
        """D's cross-entropy over the characters of each line, (N,)."""
        crops = sample_boxes(images, told.boxes, self.config.box_size)
        present = told.labels != NO_CHARACTER  # (N, L)
        logits = self.discriminator(self._seen(crops[present], draws))
        cost = class_or_fake(logits, told.labels[present] if real else None)
        table = torch.zeros(present.shape, device=cost.device).masked_scatter(present, cost)
        return table.sum(dim=1) / present.sum(dim=1).clamp_min(1)

    def _misread(self, images: Tensor, labels: Tensor) -> Tensor:
        """-log p(text) a character by the recognizer listened to, (N,)."""
        assert self._listening is not None, "stages() has seen to it"
        recognizer, numbers = self._listening
        present = labels != NO_CHARACTER
        targets = numbers.to(labels.device)[labels.clamp_min(0)]
        known = ((targets != UNREAD) | ~present).all(dim=1)
        spoken = present & (targets != SILENT)
        targets = targets.gather(1, (~spoken).byte().argsort(dim=1, stable=True))  # these first
        lengths = spoken.sum(dim=1) * known
        log_probs = recognizer.to(images.device)(images)
        return ctc_distance(log_probs, targets.clamp_min(1), lengths)

    def _judge(self, images: Tensor, draws: torch.Generator, *, real: bool) -> Tensor:
        """The line discriminator's cross-entropy over the patches of each line, (N,)."""
        logits = self.line_discriminator(self._seen(images, draws))
        return real_or_fake(logits.reshape(-1, 1), real).view(len(images), -1).mean(dim=1)

    def _seen(self, images: Tensor, draws: torch.Generator) -> Tensor:
        return diff_augment(images, draws) if self.config.diff_augment else images


def ground_distance(images: Tensor, targets: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Mean absolute difference over pixels away from ink.

    Args:
        images: (N, C, H, W).
        targets: (N, C, H, W).
        old: (N, 1, H, W) in [-1, 1], the ink of ``targets``, 0 where there is none.
        new: (N, 1, H, W), that of ``images``.

    Returns:
        (N,).
    """
    side = 2 * INK_REACH + 1
    ink = torch.maximum(old.abs(), new.abs()).float()
    inked = F.max_pool2d(ink, side, 1, INK_REACH) > 0.5
    ground = (~inked).float()
    difference = (images.float() - targets.float()).abs().mean(dim=1, keepdim=True) * ground
    return difference.sum(dim=(1, 2, 3)) / ground.sum(dim=(1, 2, 3)).clamp_min(1)
