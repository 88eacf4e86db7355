"""A residual convolutional network that reads a line of text, trained by CTC.

After Shi et al., "An End-to-End Trainable Neural Network for Image-based Sequence Recognition"
(CRNN), TPAMI 2017: convolutions halve the width twice and take the height to one row, a
bidirectional LSTM or convolutions along the width look at the neighbours, and each column says
which character it shows, if any. No lexicon.

Lines of several widths share a batch. What lies beyond a line's own width is set to zero before
each convolution, which is what a convolution's own padding is, so that a line is read alike
alone and beside wider ones.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augment.errors import ConfigError
from augment.layers import PointwiseConv
from recognizers.charset import Charset
from recognizers.ctc import (
    Readings,
    ctc_loss,
    even_loss,
    read_by_beam,
    read_greedily,
    text_probabilities,
)

__all__ = ["COLUMN", "SIZES", "TextConfig", "TextRecognizer"]

COLUMN = 4
"""Pixels along the width that one column of the output stands for."""
_ROWS_HALVED = 3  # times


@dataclass(frozen=True)
class TextConfig:
    """Size of the network."""

    width: int = 32  # channels of the first stage
    blocks: int = 1  # residual blocks a stage
    head: Literal["lstm", "conv"] = "lstm"
    hidden: int = 128  # of each direction of the LSTM; half the channels of a convolution
    dropout: float = 0.2  # before the last layer

    def __post_init__(self) -> None:
        """Check ranges."""
        if min(self.width, self.hidden) < 2 or self.blocks < 1:
            raise ConfigError(
                f"width and hidden must be at least 2 and blocks at least 1; got {self.width}, "
                f"{self.hidden} and {self.blocks}."
            )
        if self.head not in ("lstm", "conv"):
            raise ConfigError(f"head must be lstm or conv; got {self.head!r}.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be in [0, 1); got {self.dropout}.")


SIZES = {
    "small": TextConfig(),  # trains on two cores
    "full": TextConfig(width=64, blocks=2, hidden=256),
}
"""Sizes of the network by name."""


class TextRecognizer(nn.Module):
    """From lines of text to the probability of each character in each column.

    Args:
        charset: what is read.
        height: pixels of the lines; a multiple of 8.
        channels: 1 or 3.
        config: size of the network; ``small`` where None.

    Raises:
        ConfigError: a height that cannot be halved three times.
    """

    def __init__(
        self,
        charset: Charset,
        *,
        height: int = 32,
        channels: int = 3,
        config: TextConfig | None = None,
    ) -> None:
        super().__init__()
        if height < 2**_ROWS_HALVED or height % 2**_ROWS_HALVED:
            raise ConfigError(f"height must be a multiple of {2**_ROWS_HALVED}; got {height}.")
        config = SIZES["small"] if config is None else config
        self.charset, self.height, self.channels, self.config = charset, height, channels, config
        width, hidden = config.width, config.hidden
        self.stem = _Conv(channels, width, kernel=(5, 5), stride=(2, 2), padding=(2, 2))
        self.stages = nn.ModuleList()
        entering = width
        for leaving, stride in ((2 * width, (2, 2)), (4 * width, (2, 1)), (4 * width, (1, 1))):
            for index in range(config.blocks):
                self.stages.append(_Residual(entering, leaving, stride if index == 0 else (1, 1)))
                entering = leaving
        rows = height // 2**_ROWS_HALVED
        self.collapse = _Conv(entering, 2 * hidden, kernel=(rows, 1), padding=(0, 0))
        self.head: _Lstm | _Context = (
            _Lstm(2 * hidden, hidden) if config.head == "lstm" else _Context(2 * hidden)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.classify = nn.Linear(2 * hidden, charset.num_classes)

    def forward(self, images: Tensor, widths: Tensor | None = None) -> Tensor:
        """Log-probabilities (N, ⌈W/4⌉, k) of blank and characters in each column.

        Args:
            images: (N, C, height, W) in [-1, 1].
            widths: (N,) pixels of each that are its own; None: all W. Columns beyond
                ``columns_of(widths)`` say nothing.
        """
        maps = self._columnwise(images, widths)
        columns = None if widths is None else self.columns_of(widths)
        features = self.head(maps, columns)  # (N, T, 2·hidden)
        logits = self.classify(self.dropout(features))
        return torch.log_softmax(logits.float(), dim=2)

    @torch.no_grad()
    def embed(self, images: Tensor, widths: Tensor | None = None) -> Tensor:
        """How lines look, whatever their width: (N, 2·hidden) unit vectors.

        The mean over a line's own columns of what the convolutions see; arguments as for
        ``forward``.
        """
        maps = self._columnwise(images, widths).float()  # zero beyond a line's own columns
        unit: Tensor = F.normalize(maps.sum(dim=1), dim=1)
        return unit

    def _columnwise(self, images: Tensor, widths: Tensor | None) -> Tensor:
        """(N, T, 2·hidden), what the convolutions see in each column."""
        masks = _Masks(images, widths)
        maps = images if masks.full is None else images * masks.full
        maps = self.stem(maps, masks.half)
        for stage in self.stages:
            maps = stage(maps, masks.quarter)
        columns: Tensor = self.collapse(maps, masks.quarter)  # (N, 2·hidden, 1, T)
        return columns.squeeze(2).transpose(1, 2)

    def columns_of(self, widths: Tensor) -> Tensor:
        """(N,) columns of the output that lines of so many pixels have."""
        return (widths + COLUMN - 1) // COLUMN

    def loss(
        self,
        images: Tensor,
        targets: Tensor,
        widths: Tensor | None = None,
        *,
        even_share: float = 0.0,
    ) -> Tensor:
        """-log p(text | image), (N,).

        Args:
            images: (N, C, height, W) in [-1, 1].
            targets: (N, S) classes, padded by blanks; from ``Charset.encode``.
            widths: as for ``forward``.
            even_share: how much of it, in [0, 1], gives way to ``recognizers.ctc.even_loss``.

        Raises:
            LabelError: a text does not fit into its image.
        """
        log_probs = self(images, widths)
        columns = self._columns(log_probs, widths)
        loss = ctc_loss(log_probs, columns, targets)
        if even_share:
            even = even_loss(log_probs, columns, targets)
            loss = (1 - even_share) * loss + even_share * even
        return loss

    @torch.no_grad()
    def read(self, images: Tensor, widths: Tensor | None = None, *, beam: int = 0) -> Readings:
        """Read lines; arguments as for ``forward``.

        Args:
            images: (N, C, height, W) in [-1, 1].
            widths: (N,) pixels of each that are its own; None: all W.
            beam: prefixes that a beam search keeps; 0 reads the most probable path.
        """
        log_probs = self(images, widths)
        columns = self._columns(log_probs, widths)
        if beam:
            return read_by_beam(log_probs, columns, self.charset, beam=beam)
        return read_greedily(log_probs, columns, self.charset)

    @torch.no_grad()
    def probabilities(
        self, images: Tensor, targets: Tensor, widths: Tensor | None = None
    ) -> Tensor:
        """p(text | image), (N,) in [0, 1]; arguments as for ``loss``."""
        log_probs = self(images, widths)
        return text_probabilities(log_probs, self._columns(log_probs, widths), targets)

    def _columns(self, log_probs: Tensor, widths: Tensor | None) -> Tensor:
        count, length = log_probs.shape[:2]
        if widths is None:
            return torch.full((count,), length, device=log_probs.device)
        return self.columns_of(widths)


class _Masks:
    """(N, 1, 1, W) ones on each line's own columns, at three widths; None: all is its own."""

    full: Tensor | None = None
    half: Tensor | None = None
    quarter: Tensor | None = None

    def __init__(self, images: Tensor, widths: Tensor | None) -> None:
        if widths is None:
            return
        self.full = self._own(widths, images)
        self.half = self._own((widths + 1) // 2, images[..., ::2])
        self.quarter = self._own((widths + 3) // 4, images[..., ::4])

    @staticmethod
    def _own(widths: Tensor, images: Tensor) -> Tensor:
        columns = torch.arange(images.shape[3], device=images.device)
        return (columns < widths[:, None]).to(images.dtype)[:, None, None, :]


def _masked(maps: Tensor, mask: Tensor | None) -> Tensor:
    return maps if mask is None else maps * mask.to(maps.dtype)


class _Conv(nn.Module):
    """Convolution, batch norm, ReLU; zero beyond a line's own width.

    Shapes: (N, entering, H, W) to (N, leaving, ⌈H/stride⌉, ⌈W/stride⌉).
    """

    def __init__(
        self,
        entering: int,
        leaving: int,
        *,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(entering, leaving, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(leaving)

    def forward(self, maps: Tensor, mask: Tensor | None) -> Tensor:
        return _masked(torch.relu(self.norm(self.convolution(maps))), mask)


class _Residual(nn.Module):
    """Two 3×3 convolutions around a shortcut; zero beyond a line's own width."""

    def __init__(self, entering: int, leaving: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.first = _Conv(entering, leaving, stride=stride)
        self.second = nn.Conv2d(leaving, leaving, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(leaving)
        self.shortcut = (
            nn.Identity()
            if entering == leaving and stride == (1, 1)
            else nn.Sequential(PointwiseConv(entering, leaving, stride), nn.BatchNorm2d(leaving))
        )

    def forward(self, maps: Tensor, mask: Tensor | None) -> Tensor:
        changed = self.norm(self.second(self.first(maps, mask)))
        return _masked(torch.relu(changed + self.shortcut(maps)), mask)


class _Lstm(nn.Module):
    """An LSTM along the columns in either direction, in float32.

    Shapes: (N, T, features) to (N, T, 2·hidden).
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.rightwards = nn.LSTM(features, hidden, batch_first=True)
        self.leftwards = nn.LSTM(features, hidden, batch_first=True)

    def forward(self, columns: Tensor, lengths: Tensor | None) -> Tensor:
        with torch.autocast(columns.device.type, enabled=False):
            sequence = columns.float()
            backwards = self.leftwards(_reversed(sequence, lengths))[0]
            both = [self.rightwards(sequence)[0], _reversed(backwards, lengths)]
        return torch.cat(both, dim=2)


def _reversed(sequence: Tensor, lengths: Tensor | None) -> Tensor:
    """Turn the first ``lengths`` columns of each (N, T, F) around; what follows stays."""
    if lengths is None:
        return sequence.flip(1)
    places = torch.arange(sequence.shape[1], device=sequence.device)
    mirrored = lengths[:, None] - 1 - places
    order = torch.where(mirrored >= 0, mirrored, places)  # (N, T)
    return sequence.gather(1, order[:, :, None].expand_as(sequence))


class _Context(nn.Module):
    """Two residual blocks of convolutions along the columns: each sees eight to either side.

    Shapes: (N, T, features) to the same.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [_Conv(features, features, kernel=(1, 5), padding=(0, 2)) for _ in range(4)]
        )

    def forward(self, columns: Tensor, lengths: Tensor | None) -> Tensor:
        maps = columns.transpose(1, 2).unsqueeze(2)  # (N, features, 1, T)
        mask = None
        if lengths is not None:
            places = torch.arange(maps.shape[3], device=maps.device)
            mask = (places < lengths[:, None]).to(maps.dtype)[:, None, None, :]
        for first, second in zip(self.layers[::2], self.layers[1::2], strict=True):
            maps = maps + second(first(maps, mask), mask)
        return maps.squeeze(2).transpose(1, 2)
