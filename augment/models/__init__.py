"""The generators' networks, one paper a file."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from augment.models import cvae_gan, deepsim, exemplar_cnn, line_saae, masked_vae, saae, vae_gan
from augment.models.cvae_gan_config import CVAEGANConfig, CVAEGANSampling
from augment.models.deepsim_config import DeePSiMConfig, DeePSiMSampling
from augment.models.exemplar_cnn import ExemplarConfig, ExemplarSampling
from augment.models.line_saae_config import LineSAAEConfig, LineSampling
from augment.models.masked_vae_config import MaskedVAEConfig, MaskedVAESampling
from augment.models.saae_config import SAAEConfig, SAAESampling
from augment.models.vae_gan_config import VAEGANConfig, VAEGANSampling

__all__ = ["MODELS", "Architecture"]


@dataclass(frozen=True)
class Architecture:
    """A model and the classes of its settings: of the network, and of how it is sampled."""

    model: type[nn.Module]
    config: type[Any]
    sampling: type[Any]


MODELS: dict[str, Architecture] = {
    "cvae_gan": Architecture(cvae_gan.CVAEGAN, CVAEGANConfig, CVAEGANSampling),
    "deepsim": Architecture(deepsim.DeePSiM, DeePSiMConfig, DeePSiMSampling),
    "exemplar_cnn": Architecture(exemplar_cnn.ExemplarCNN, ExemplarConfig, ExemplarSampling),
    "line_saae": Architecture(line_saae.LineSAAE, LineSAAEConfig, LineSampling),
    "masked_vae": Architecture(masked_vae.MaskedVAE, MaskedVAEConfig, MaskedVAESampling),
    "saae": Architecture(saae.SAAE, SAAEConfig, SAAESampling),
    "vae_gan": Architecture(vae_gan.VAEGAN, VAEGANConfig, VAEGANSampling),
}
