from collections.abc import Callable, Iterator

import pytest

from augment.errors import ConfigError
from jobs import ray_context

Cluster = Callable[..., None]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Called with the cores of each node and, one after another, how many are free."""

    def fake(nodes: list[float], *free: float) -> None:
        told: Iterator[float] = iter(free)
        alive = [{"Alive": True, "Resources": {"CPU": cores}} for cores in nodes]
        dead = {"Alive": False, "Resources": {"CPU": 64.0}}
        monkeypatch.setattr(ray_context.ray, "nodes", lambda: [dead, *alive])
        monkeypatch.setattr(ray_context.ray, "available_resources", lambda: {"CPU": next(told)})

    return fake


@pytest.mark.parametrize(
    ("nodes", "workers", "cores"),
    [([8.0], 1, 8), ([8.0], 3, 2), ([4.0, 4.0], 2, 4), ([4.0, 2.0], 3, 2), ([2.0], 2, 1)],
)
def test_workers_share_all_cores_of_an_idle_cluster(
    nodes: list[float], workers: int, cores: int, cluster: Cluster
) -> None:
    cluster(nodes, sum(nodes))
    assert ray_context._cores_each(workers) == cores


@pytest.mark.parametrize(
    ("nodes", "free", "workers", "cores"),
    [([8.0], 5.0, 1, 5), ([8.0], 5.0, 2, 2), ([2.0], 1.0, 1, 1), ([4.0, 4.0], 7.0, 1, 4)],
)
def test_workers_leave_a_service_its_cores(
    nodes: list[float],
    free: float,
    workers: int,
    cores: int,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_context, "RELEASE_TIMEOUT_S", 0)
    cluster(nodes, free)
    assert ray_context._cores_each(workers) == cores


def test_cores_that_are_about_to_be_released_are_waited_for(cluster: Cluster) -> None:
    cluster([4.0], 0.0, 1.0, 4.0)
    assert ray_context._cores_each(2) == 2


@pytest.mark.parametrize("free", [0.0, 0.5, 1.0])
def test_a_cluster_without_a_free_core_for_each_worker_is_refused(
    free: float, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_context, "RELEASE_TIMEOUT_S", 0)
    cluster([2.0], free)
    with pytest.raises(ConfigError, match=f"got {int(free)} of the cluster's 2 for --workers 2"):
        ray_context._cores_each(2)


def test_more_workers_than_cores_are_refused(cluster: Cluster) -> None:
    cluster([2.0, 1.0])
    with pytest.raises(ConfigError, match="at most the cluster's 3 CPU cores, got 4"):
        ray_context._cores_each(4)
