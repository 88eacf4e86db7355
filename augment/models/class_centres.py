"""Moving averages of features by class (CVAE-GAN, Sec. 3.3): a batch rarely holds a class twice."""

import torch
from torch import Tensor, nn

from augment.phases import Average

__all__ = ["ClassCentres"]


class ClassCentres(nn.Module):
    """The mean feature vector of each class, moved by what batches show of it.

    A class met for the first time takes the batch's mean as it is.

    Args:
        num_classes: k.
        num_features: F.
        momentum: how much of the old centre stays when a class is met, in [0, 1).
    """

    centres: Tensor  # (k, F)
    met: Tensor  # (k,) 1 once a class was met

    def __init__(self, num_classes: int, num_features: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("centres", torch.zeros(num_classes, num_features))
        self.register_buffer("met", torch.zeros(num_classes))
        self._batch: tuple[Tensor, Tensor] | None = None

    def moved(self, features: Tensor, labels: Tensor) -> Tensor:
        """The centres as this batch would move them, with gradients to its features.

        Args:
            features: (N, F).
            labels: (N,).

        Returns:
            (k, F). The batch is kept for the next ``agree``.
        """
        sums, counts = _sums_by_class(features.float(), labels, len(self.centres))
        self._batch = sums.detach(), counts
        return self._blend(sums, counts)

    def agree(self, average: Average) -> None:
        """Move the centres by the last batch of all workers together."""
        if self._batch is None:
            return
        sums, counts = self._batch
        average([sums, counts])  # the ratio of the means is the mean over all images
        self.centres.copy_(self._blend(sums, counts))
        self.met.copy_(torch.maximum(self.met, (counts > 0).float()))
        self._batch = None

    def _blend(self, sums: Tensor, counts: Tensor) -> Tensor:
        means = sums / torch.where(counts > 0, counts, 1.0)[:, None]
        keep = torch.where(counts > 0, self.momentum * self.met, 1.0)[:, None]
        return keep * self.centres + (1 - keep) * means


def _sums_by_class(features: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """(k, F) sums of the features of each class, and (k,) how many there are."""
    sums = torch.zeros(num_classes, features.shape[1], device=features.device)
    counts = torch.zeros(num_classes, device=features.device)
    ones = torch.ones(len(labels), device=features.device)
    return sums.index_add(0, labels, features), counts.index_add(0, labels, ones)
