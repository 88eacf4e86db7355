"""Every architecture that encodes images, seen as one kind of autoencoder.

Restoration and editing ask for ``encode`` and ``decode``. What differs between architectures is
what these are told besides the image: nothing, the class, or the background.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from augment.errors import LabelError, RequestError
from augment.models.cvae_gan import CVAEGAN
from augment.models.deepsim import DeePSiM
from augment.models.masked_vae import MaskedVAE
from augment.models.vae_gan import VAEGAN
from augment.restoration.autoencoder import Autoencoder

__all__ = ["UNKNOWN", "ClassCoder", "Coder", "FaceCoder", "coder_of"]

UNKNOWN = -1
"""Class index of an image whose class has to be estimated."""


class Coder:
    """A model that needs to be told nothing, or can do without: VAE, VAE/GAN, plain VAEs.

    Args:
        model: in eval mode; its ``encode`` and ``decode`` take attributes or None.
        half: run it in bfloat16.
    """

    def __init__(self, model: Autoencoder, *, half: bool = False) -> None:
        self.model, self.half = model, half

    def numbers(self, labels: Sequence[int | None]) -> Tensor:
        """Class indices (N,), UNKNOWN where a label is None.

        Raises:
            RequestError: a label for a model that takes none.
            LabelError: a label outside the classes.
        """
        if any(label is not None for label in labels):
            raise RequestError("this bundle takes no labels; send images without them.")
        return torch.full((len(labels),), UNKNOWN)

    def condition(self, images: Tensor, numbers: Tensor) -> Tensor | None:
        """What ``encode`` and ``decode`` are told of images (N, C, H, W): nothing.

        Args:
            images: in [-1, 1].
            numbers: (N,) class indices, or UNKNOWN.

        Returns:
            (N, …), which can be mixed linearly; or None.
        """
        return None

    def encode(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Posterior mean and log-variance, each (N, latent_dim); labels from ``condition``."""
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.half):
            mu, log_var = self._encode(images, labels)
        return mu.float(), log_var.float()

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, latent_dim) to images (N, C, H, W) in [-1, 1]; labels from ``condition``."""
        with torch.autocast(z.device.type, torch.bfloat16, enabled=self.half):
            images = self._decode(z, labels)
        return images.float()

    def _encode(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.model.encode(images, labels)

    def _decode(self, z: Tensor, labels: Tensor | None) -> Tensor:
        return self.model.decode(z, labels)


class ClassCoder(Coder):
    """CVAE-GAN, told class vectors, so that classes can be mixed.

    An image of unknown class gets the mean of all class vectors, weighed by how C reads it: the
    class's own where C is sure, and between those who look alike for a person C never saw.
    Restored so, people C never saw come out better than by a regression from features to class
    vectors (EXPERIMENTS.md).
    """

    def __init__(self, model: CVAEGAN, *, half: bool = False) -> None:
        super().__init__(model, half=half)
        self.classes = model

    def numbers(self, labels: Sequence[int | None]) -> Tensor:
        """As ``Coder.numbers``."""
        count = self.classes.vectors.num_embeddings
        for index, label in enumerate(labels):
            if label is not None and not 0 <= label < count:
                raise LabelError(
                    f"labels must be in [0, {count - 1}], got {label} at index {index}; check the "
                    "classes of this bundle."
                )
        return torch.tensor([UNKNOWN if label is None else label for label in labels])

    def condition(self, images: Tensor, numbers: Tensor) -> Tensor:
        """Class vectors (N, label_dim)."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.half):
            shares = self.classes.classify(images).float().softmax(dim=1)
        estimated = shares @ self.classes.vectors.weight.float()
        given = self.vectors(numbers.clamp(min=0))
        return torch.where((numbers == UNKNOWN)[:, None], estimated, given)

    def vectors(self, numbers: Tensor) -> Tensor:
        """Class vectors (N, label_dim) of class indices (N,)."""
        vectors: Tensor = self.classes.vectors(numbers).float()
        return vectors

    def _encode(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        assert labels is not None
        return self.classes.encode_with(images, labels)

    def _decode(self, z: Tensor, labels: Tensor | None) -> Tensor:
        assert labels is not None
        images: Tensor = self.classes(z, labels)
        return images


class FaceCoder(Coder):
    """The masked VAE, which draws faces and knows nothing of backgrounds.

    An image's code is z and the image itself, side by side: its face is decoded from z, within the
    predicted mask, and what is around the face comes from the image.
    """

    def __init__(self, model: MaskedVAE, *, half: bool = False) -> None:
        super().__init__(model, half=half)
        self.faces = model

    def _encode(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        mu, log_var = self.faces.encode(images)
        pixels = images.flatten(1)
        certain = torch.full_like(pixels, -torch.inf)  # log σ² of what is copied
        return torch.cat([mu, pixels], dim=1), torch.cat([log_var, certain], dim=1)

    def _decode(self, z: Tensor, labels: Tensor | None) -> Tensor:
        mu, pixels = z[:, : self.faces.latent_dim], z[:, self.faces.latent_dim :]
        drawn, face_masks = self.faces.decode(mu).float(), self.faces.predict_mask(mu).float()
        return torch.lerp(pixels.view_as(drawn), drawn, face_masks)


def coder_of(model: nn.Module, *, half: bool = False) -> Coder | None:
    """The coder of a model; None for one that encodes no images."""
    match model:
        case CVAEGAN():
            return ClassCoder(model, half=half) if model.config.encodes else None
        case VAEGAN():
            return None if model.encoder is None else Coder(model, half=half)
        case DeePSiM():  # an inversion encodes by a network that its bundle does not hold
            return None if model.encoder is None else Coder(model, half=half)
        case MaskedVAE():
            return (FaceCoder if model.config.masked else Coder)(model, half=half)
    return None
