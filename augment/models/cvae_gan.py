"""CVAE-GAN: images of a given class, from a latent z that says everything else.

Bao et al., "CVAE-GAN: Fine-Grained Image Generation through Asymmetric Training", 2017,
arXiv:1703.10155. Names follow Algorithm 1: x is a real image, c its label, x_f = G(E(x, c), c) its
reconstruction, x_p = G(z_p, c) a sample. The training is asymmetric: C and D minimize
cross-entropies, G and E only distances between features.

Departures from the paper: see ``cvae_gan_config``; but for the bounds of log σ² ``PAPER`` has none,
though the paper leaves open what ``CVAEGANConfig`` gives no section for.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augment.comparators import Comparator, perceptual_term
from augment.diffaugment import diff_augment
from augment.errors import ConfigError
from augment.losses.adversarial import real_or_fake
from augment.losses.divergence import kl_to_standard_normal, sample_posterior
from augment.losses.features import class_mean_matching, feature_distance, mean_matching
from augment.models.class_centres import ClassCentres
from augment.models.cvae_gan_config import CVAEGANConfig
from augment.models.cvae_gan_networks import build_networks
from augment.phases import Losses, Phase, Stage

__all__ = ["CVAEGAN", "Batch"]


class Batch(NamedTuple):
    """What one training step sees."""

    images: Tensor  # x, (N, C, H, W) in [-1, 1]
    labels: Tensor  # c, (N,)
    step_labels: Tensor  # (M,) c of the step's images on all workers, these among them


class CVAEGAN(nn.Module):
    """E, G, C and D, what each player moves, and the phases of Algorithm 1.

    Args:
        config: architecture, losses and steps.
        num_classes: k.
        image_size: (H, W); multiples of 16 (compact networks) or 32 (the paper's).
        channels: 1 or 3.
    """

    def __init__(
        self, config: CVAEGANConfig, *, num_classes: int, image_size: tuple[int, int], channels: int
    ) -> None:
        super().__init__()
        self.config, self.image_size, self.latent_dim = config, image_size, config.latent_dim
        self.vectors = nn.Embedding(num_classes, config.label_dim or num_classes)
        if config.label_dim is None:
            self.vectors.weight.data = torch.eye(num_classes)  # one-hot, and moved by no player
        self.networks = build_networks(
            config,
            num_classes=num_classes,
            image_size=image_size,
            channels=channels,
            label_dim=self.vectors.embedding_dim,
        )
        centres = num_classes, self.networks.num_features, config.centre_momentum
        self.centres = ClassCentres(*centres)  # E_c f_C(x)
        self.generated_centres = ClassCentres(*centres)  # E_c f_C(G(z, c))
        self.comparator: Comparator | None = None  # of the perceptual term; not among the weights

    def forward(self, z: Tensor, vectors: Tensor) -> Tensor:
        """G(z, c): (N, latent_dim) and class vectors (N, label_dim) to (N, C, H, W)."""
        images: Tensor = self.networks.generator(z, vectors)
        return images

    def encode(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Posterior q(z | x, c).

        Args:
            images: (N, C, H, W) in [-1, 1].
            labels: (N,); None: as C reads the images.

        Returns:
            mu, log_var: each (N, latent_dim).
        """
        labels = self.classify(images).argmax(dim=1) if labels is None else labels
        return self.encode_with(images, self.vectors(labels))

    def encode_with(self, images: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior given class vectors (N, label_dim), which may be mixed; as ``encode``."""
        moments: Tensor = self.networks.encoder(images, vectors)
        mu, log_var = moments.float().chunk(2, dim=1)
        return mu, log_var.clamp(-10, 4)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """G(z, c) for labels (N,).

        Raises:
            ConfigError: no labels; a class has to be named.
        """
        if labels is None:
            raise ConfigError("CVAE-GAN decodes images of a class: expected labels, got none.")
        images: Tensor = self(z, self.vectors(labels))
        return images

    def classify(self, images: Tensor) -> Tensor:
        """C(x): (N, C, H, W) to logits (N, k)."""
        logits: Tensor = self.networks.classifier(images)[0]
        return logits

    def features(self, images: Tensor) -> Tensor:
        """f_C(x): (N, C, H, W) to (N, num_features)."""
        features: Tensor = self.networks.classifier(images)[1]
        return features

    def players(self) -> dict[str, list[nn.Module]]:
        """Which networks each player moves."""
        networks = self.networks
        generator = [networks.generator]
        if self.config.label_dim is not None:
            generator.append(self.vectors)
        players: dict[str, list[nn.Module]] = {
            "classifier": [networks.classifier],
            "generator": [*generator, networks.encoder] if self._is_joint else generator,
            "encoder": [networks.encoder],
        }
        if self._needs_discriminator:
            players["discriminator"] = [networks.discriminator]
        if self._is_joint or not self.config.encodes:
            del players["encoder"]
        return players

    def stages(self) -> list[Stage]:
        """Algorithm 1: every step updates C, D, G and E in turn; C alone before, if asked for."""
        phases = [
            Phase(
                "classifier",
                "classifier",
                "L_C: cross-entropy of real images to their classes",
                self._classify,
                agree=self.centres.agree,
            ),
            Phase(
                "discriminator",
                "discriminator",
                "L_D: cross-entropy; real images to 1, reconstructions and samples to 0",
                self._discriminate,
            ),
            Phase(
                "generator",
                "generator",
                "λ2 L_G + λ3 L_GD + λ4 L_GC" + (" + λ1 L_KL" if self._is_joint else ""),
                self._generate,
                agree=self.generated_centres.agree,
            ),
        ]
        if not self._needs_discriminator:
            del phases[1]
        if self.config.encodes and not self._is_joint:
            phases.append(Phase("encoder", "encoder", "λ1 L_KL + λ2 L_G", self._encode))
        stages = [Stage("train", self.config.steps, tuple(phases))]
        if self.config.classifier_steps:
            stages.insert(0, Stage("classify", self.config.classifier_steps, tuple(phases[:1])))
        return stages

    @property
    def _is_joint(self) -> bool:
        return self.config.joint and self.config.encodes

    @property
    def _needs_discriminator(self) -> bool:
        config = self.config
        pairs = config.encodes and config.pairwise_features and config.pairwise_weight
        return bool(pairs or config.mean_weight or config.adversarial_weight)

    def _classify(self, batch: Batch, draws: torch.Generator) -> Losses:
        logits, features = self.networks.classifier(self._seen(batch.images, draws))
        self.centres.moved(features.detach(), batch.labels)
        classes = F.cross_entropy(logits.float(), batch.labels, reduction="none")  # Eq. 1
        return Losses(classes.mean(), {"classes": classes})

    def _discriminate(self, batch: Batch, draws: torch.Generator) -> Losses:
        vectors = self.vectors(batch.labels)
        with torch.no_grad():
            x_p = self(self._draw_z(batch, draws), vectors)
            x_f = self._reconstruct(batch, vectors, draws)[0] if self.config.encodes else x_p[:0]
        judge = self.networks.discriminator
        real = real_or_fake(judge(self._seen(batch.images, draws), vectors)[0], real=True)
        fake = real_or_fake(judge(self._seen(x_p, draws), vectors)[0], real=False)
        total, terms = real.mean() + fake.mean(), {"real": real, "fake": fake}
        if len(x_f):
            rebuilt = real_or_fake(judge(self._seen(x_f, draws), vectors)[0], real=False)
            total, terms["rebuilt"] = total + rebuilt.mean(), rebuilt
        return Losses(total, terms)  # Eq. 2

    def _generate(self, batch: Batch, draws: torch.Generator) -> Losses:
        config, labels = self.config, batch.labels
        vectors = self.vectors(labels)
        terms: dict[str, Tensor] = {}
        total = torch.zeros((), device=labels.device)
        if config.encodes:
            with torch.set_grad_enabled(self._is_joint):
                mu, log_var = self.encode_with(batch.images, vectors.detach())
            x_f = self(sample_posterior(mu, log_var, draws), vectors)
            pairwise = self._pairwise(batch, vectors, x_f, terms)
            total = total + config.pairwise_weight * pairwise.mean()  # λ2 L_G
            if self._is_joint:
                terms["kl"] = self._kl(mu, log_var)
                total = total + config.kl_weight * terms["kl"].mean()  # λ1 L_KL
        is_judged = config.mean_weight or config.adversarial_weight
        is_read = config.class_mean_weight or config.classifier_weight
        if is_judged or is_read:
            with torch.no_grad():
                z_p = self._draw_z(batch, draws)
            x_p = self(z_p, vectors)
        if is_judged:
            judge = self.networks.discriminator
            logits, f_d = judge(self._seen(x_p, draws), vectors)
            if config.mean_weight:
                with torch.no_grad():
                    f_real = judge(self._seen(batch.images, draws), vectors)[1]
                terms["mean"] = self._reduce(mean_matching(f_real, f_d), f_real)
                total = total + config.mean_weight * terms["mean"].mean()  # λ3 L_GD
            if config.adversarial_weight:
                terms["adversarial"] = real_or_fake(logits, real=True)
                total = total + config.adversarial_weight * terms["adversarial"].mean()
        if is_read:
            logits, f_c = self.networks.classifier(self._seen(x_p, draws))
            if config.class_mean_weight:
                moved = self.generated_centres.moved(f_c, labels)
                real = self.centres.centres
                apart = class_mean_matching(real, moved, labels, batch.step_labels)
                terms["class_mean"] = apart
                l_gc = apart.sum() * (len(batch.step_labels) / len(labels))
                total = total + config.class_mean_weight * l_gc  # λ4 L_GC: a sum over classes
            if config.classifier_weight:
                terms["class"] = F.cross_entropy(logits.float(), labels, reduction="none")
                total = total + config.classifier_weight * terms["class"].mean()
        return Losses(total, terms)

    def _encode(self, batch: Batch, draws: torch.Generator) -> Losses:
        vectors = self.vectors(batch.labels)
        x_f, mu, log_var = self._reconstruct(batch, vectors, draws)
        terms = {"kl": self._kl(mu, log_var)}
        pairwise = self._pairwise(batch, vectors, x_f, terms)
        total = self.config.kl_weight * terms["kl"].mean()  # λ1 L_KL
        return Losses(total + self.config.pairwise_weight * pairwise.mean(), terms)  # + λ2 L_G

    def _reconstruct(
        self, batch: Batch, vectors: Tensor, draws: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x_f with the moments it was drawn by."""
        mu, log_var = self.encode_with(batch.images, vectors.detach())
        return self(sample_posterior(mu, log_var, draws), vectors), mu, log_var

    def _draw_z(self, batch: Batch, draws: torch.Generator) -> Tensor:
        """z_p: N(0, I), the first ones encodings of other images of the batch if asked for."""
        count = len(batch.labels)
        z_p = torch.randn(count, self.latent_dim, generator=draws).to(batch.images)
        swapped = int(count * self.config.swap_share)
        if swapped:
            lenders = torch.randperm(count, generator=draws)[:swapped].to(batch.labels.device)
            vectors = self.vectors(batch.labels[lenders])
            mu, log_var = self.encode_with(batch.images[lenders], vectors)
            z_p[:swapped] = sample_posterior(mu, log_var, draws)
        return z_p

    def _pairwise(
        self, batch: Batch, vectors: Tensor, x_f: Tensor, terms: dict[str, Tensor]
    ) -> Tensor:
        """L_G: distances of pixels, f_D and f_C between x and x_f (Eq. 7), noted in ``terms``.

        The perceptual term, if there is one, is noted by itself and added with its weight.
        """
        x = batch.images
        total = self._reduce(feature_distance(x_f, x), x)
        if self.config.pairwise_features:
            for f in (lambda y: self.networks.discriminator(y, vectors)[1], self.features):
                with torch.no_grad():
                    real = f(x)
                total = total + self._reduce(feature_distance(f(x_f), real), real)
        terms["pairwise"] = total
        perceptual = self.config.perceptual
        if perceptual is not None:
            terms["perceptual"] = perceptual_term(perceptual, self.comparator, x_f, x)
            unit = x[0].numel() / 2 if self.config.reduction == "sum" else 1.0
            total = total + perceptual.weight * unit * terms["perceptual"]
        return total

    def _kl(self, mu: Tensor, log_var: Tensor) -> Tensor:
        kl = kl_to_standard_normal(mu, log_var)
        pixels = self.image_size[0] * self.image_size[1]
        return kl / pixels if self.config.reduction == "relative" else kl

    def _reduce(self, distances: Tensor, real: Tensor) -> Tensor:
        """Squared distances as they are, or as shares of the mean squared norm of real features."""
        if self.config.reduction == "sum":
            return distances
        norms = real.detach().float().flatten(1).square().sum(dim=1)
        return distances / norms.mean().clamp(min=1e-6)

    def _seen(self, images: Tensor, draws: torch.Generator) -> Tensor:
        return diff_augment(images, draws) if self.config.diff_augment else images
