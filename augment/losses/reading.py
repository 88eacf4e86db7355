"""What a recognizer makes of generated text; every function returns per-sample values (N,)."""

import torch.nn.functional as F
from torch import Tensor

__all__ = ["ctc_distance"]


def ctc_distance(log_probs: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    """-log p(text | image) a character, by connectionist temporal classification.

    Graves et al., "Connectionist Temporal Classification", 2006.

    Args:
        log_probs: (N, T, K) of each column over K classes, the blank first.
        targets: (N, L) classes above 0; what follows the text is passed over.
        lengths: (N,) characters of each text.

    Returns:
        (N,); 0 for texts without characters, and for those that need more than T columns.
    """
    columns = lengths.new_full((len(log_probs),), log_probs.shape[1])
    nats = F.ctc_loss(
        log_probs.float().transpose(0, 1),
        targets,
        columns,
        lengths,
        reduction="none",
        zero_infinity=True,
    )
    return nats * (lengths > 0) / lengths.clamp_min(1)
