"""Workers of one training run as threads of this process; what they average is really averaged."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from augment.training import Context, PlainContext

T = TypeVar("T")
SECONDS = 60
"""How long a worker waits for the others before the test fails."""


class _Meeting:
    """Where workers lay down their tensors and take up the means."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count, timeout=SECONDS)
        self.tables: list[list[Tensor]] = [[] for _ in range(count)]


class _Worker(PlainContext):
    def __init__(self, rank: int, meeting: _Meeting) -> None:
        super().__init__()
        self.rank, self.world_size, self.meeting = rank, len(meeting.tables), meeting

    def average(self, tensors: Sequence[Tensor]) -> None:
        self.meeting.tables[self.rank] = list(tensors)
        self.meeting.barrier.wait()
        means = [torch.stack(same).mean(dim=0) for same in zip(*self.meeting.tables, strict=True)]
        self.meeting.barrier.wait()  # all have read what each now overwrites
        for tensor, mean in zip(tensors, means, strict=True):
            tensor.copy_(mean)


def work_together(count: int, work: Callable[[Context], T]) -> list[T]:
    """What ``work`` returns to each of ``count`` workers, by rank."""
    meeting = _Meeting(count)

    def one(rank: int) -> T:
        try:
            return work(_Worker(rank, meeting))
        except BaseException:
            meeting.barrier.abort()  # nobody waits for who has failed
            raise

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))
