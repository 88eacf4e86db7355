import asyncio
from typing import Any

import numpy as np
import pytest

from augment.errors import RequestError
from serving.fulfilment import LocalBackend, Order, draw_order
from serving.generation import Chunk, Drawing

CLASSES = ("3", "7", "京")


def order(counts: dict[int, int], seed: int = 1, *, read_back: bool = True) -> Order:
    return Order("digits/1", CLASSES, counts, seed, read_back)


async def names_of(order: Order, backend: Any) -> list[tuple[str, int]]:
    return [(r.label, r.index) async for records in draw_order(order, backend) for r in records]


def test_each_round_asks_for_exactly_what_is_missing_and_stops_at_four_times() -> None:
    mine = order({0: 3, 2: 2})
    asked: list[tuple[int, int]] = []
    while chunks := mine.next_round(4):
        assert all(len(chunk) <= 4 for chunk in chunks)
        for chunk in chunks:
            asked += zip(chunk.labels.tolist(), chunk.indices.tolist(), strict=True)
            kept = (chunk.labels == 0) & (chunk.indices != 1)
            mine.note(chunk, Drawing(kept, []))
    mine.end()
    assert sorted(asked) == [(0, i) for i in range(4)] + [(2, i) for i in range(8)]
    assert (mine.tally.made, mine.tally.kept, mine.tally.dropped) == (12, 3, 9)
    assert mine.tally.shortfall == {"京": 2}


def test_images_do_not_depend_on_the_size_of_chunks(backend: LocalBackend) -> None:
    drawn = []
    for backend.chunk_size in (1, 3, 8):
        drawn.append(sorted(asyncio.run(names_of(order({0: 9, 1: 4}), backend))))
    assert drawn[0] == drawn[1] == drawn[2]


class SlowBackend:
    """Draws one chunk at a time, in the order of arrival, and notes whose it was."""

    chunk_size = 2
    window = 2

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.served: list[int] = []
        self.running = 0
        self.most_running = 0

    async def draw(self, chunk: Chunk) -> Drawing:
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            async with self.turn:
                await asyncio.sleep(0)
                self.served.append(chunk.seed)
        finally:
            self.running -= 1
        return Drawing(np.ones(len(chunk), bool), [])


def test_a_small_request_does_not_wait_for_a_large_one_to_end() -> None:
    async def both() -> SlowBackend:
        backend = SlowBackend()
        large = asyncio.create_task(names_of(order({0: 200}, seed=1), backend))
        await asyncio.sleep(0.001)
        await names_of(order({0: 2}, seed=2), backend)
        large.cancel()
        return backend

    served = asyncio.run(both()).served
    assert served.count(1) < 50
    assert served[-1] == 2


def test_few_chunks_of_a_request_are_under_way_at_a_time() -> None:
    async def one() -> int:
        backend = SlowBackend()
        await names_of(order({0: 100}), backend)
        return backend.most_running

    assert asyncio.run(one()) == SlowBackend.window


def test_an_abandoned_request_leaves_nothing_under_way() -> None:
    async def abandoned() -> int:
        backend = SlowBackend()
        drawing = draw_order(order({0: 100}), backend)  # type: ignore[arg-type]
        await anext(drawing)
        assert backend.running
        await drawing.aclose()
        await asyncio.sleep(0)
        return backend.running

    assert asyncio.run(abandoned()) == 0


def test_an_error_of_a_chunk_reaches_the_request(backend: LocalBackend) -> None:
    mine = Order("plain/1", CLASSES, {0: 1}, 0, True)
    with pytest.raises(RequestError, match="has no reader"):
        asyncio.run(names_of(mine, backend))
