"""What restoration asks of a model: an encoder and a decoder, and nothing else."""

from typing import Protocol

from torch import Tensor

from augment.errors import RequestError

__all__ = ["Autoencoder", "check_passes", "rebuild"]


class Autoencoder(Protocol):
    """A model with a latent code, such as CVAE-GAN, VAE/GAN or the masked VAE."""

    def encode(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Posterior of the code.

        Args:
            images: (N, C, H, W) in [-1, 1].
            labels: one row an image, of the kind the model is conditioned on; None without.

        Returns:
            mu, log_var: each (N, latent_dim).
        """

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, latent_dim) to images (N, C, H, W) in [-1, 1]."""


def rebuild(model: Autoencoder, images: Tensor, labels: Tensor | None = None) -> Tensor:
    """Decode the mean of the posterior: (N, C, H, W) to x' = G(μ(x, c), c), float32."""
    mu, _ = model.encode(images, labels)
    return model.decode(mu, labels).float()


def check_passes(iterations: int, tolerance: float) -> None:
    """Check how long an iteration may go on.

    Raises:
        RequestError: no pass at all, or a negative tolerance.
    """
    if iterations < 1 or not tolerance >= 0:
        raise RequestError(
            "expected at least 1 iteration and a tolerance of at least 0; "
            f"got {iterations} and {tolerance}."
        )
