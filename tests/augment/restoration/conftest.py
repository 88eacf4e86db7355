import pytest
import torch
from torch import Tensor


class Linear:
    """Orthogonal projection onto mean + span(basis): every fixed point has a closed form.

    A label moves the mean by that much.
    """

    def __init__(self, size: tuple[int, int, int], latent_dim: int) -> None:
        draws = torch.Generator().manual_seed(0)
        self.size, pixels = size, size[0] * size[1] * size[2]
        random = torch.randn(pixels, latent_dim, generator=draws, dtype=torch.float64)
        self.basis = torch.linalg.qr(random).Q.float()
        self.mean = 0.1 * torch.randn(pixels, generator=draws)
        self.calls = 0

    def offset(self, labels: Tensor | None) -> Tensor:
        return self.mean if labels is None else self.mean + labels[:, None].float()

    def encode(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.calls += 1
        mu = (images.flatten(1) - self.offset(labels)) @ self.basis
        return mu, torch.zeros_like(mu)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return (z @ self.basis.T + self.offset(labels)).view(-1, *self.size)


@pytest.fixture(params=[1, 3], ids=["gray", "RGB"])
def linear(request) -> Linear:
    return Linear((request.param, 16, 16), latent_dim=5)


@pytest.fixture
def faces(linear) -> Tensor:
    """Images, most of them explained by the model, well inside [-1, 1]."""
    draws = torch.Generator().manual_seed(1)
    explained = linear.decode(torch.randn(6, 5, generator=draws))
    return (explained + 0.1 * torch.randn(explained.shape, generator=draws)).clamp(-0.9, 0.9)


@pytest.fixture
def holes() -> Tensor:
    """One rectangle an image, each elsewhere; one of them in a corner."""
    holes = torch.zeros(6, 1, 16, 16)
    for row in range(6):
        holes[row, :, row : row + 7, 2 * row : 2 * row + 6] = 1
    return holes
