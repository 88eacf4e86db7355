"""The one adapter between ``augment.training`` and Ray: clusters, workers, checkpoints."""

import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
import torch.distributed
from torch import Tensor
from tqdm import tqdm

from augment.errors import AugmentError, ConfigError

__all__ = ["RayContext", "ray_cluster", "ray_train"]

_OWN_CLUSTER = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a warning about GPUs
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # a report waits for the next check
}
RELEASE_TIMEOUT_S = 10
"""How long cores are waited for that something which has just ended may still hold."""


class RayContext:
    """The ``augment.training.Context`` of one Ray Train worker."""

    def __init__(self, progress: Any = None) -> None:
        """Read rank, number of workers and device from Ray Train.

        Args:
            progress: the ``"progress"`` entry of the settings that ``ray_train`` handed over.
        """
        context = ray.train.get_context()
        self.rank: int = context.get_world_rank()
        self.world_size: int = context.get_world_size()
        self.device: torch.device = ray.train.torch.get_device()
        self.newest: dict[str, float] = {}
        self.progress = progress if self.rank == 0 else None  # the first worker speaks for all

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the workers, in one message."""
        if self.world_size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(flat)
        flat /= self.world_size
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))

    def report(self, metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        """Show progress and hand metrics and checkpoint to Ray Train, which keeps it."""
        self.newest = dict(metrics)
        if self.progress is not None:
            self.progress.put.remote(dict(metrics))
        kept = ray.train.Checkpoint.from_directory(str(checkpoint)) if checkpoint else None
        ray.train.report(dict(metrics), checkpoint=kept)

    def latest_checkpoint(self) -> AbstractContextManager[Path | None]:
        """The checkpoint that a resumed or restarted run continues from."""
        checkpoint = ray.train.get_checkpoint()
        return _as_path(checkpoint) if checkpoint else nullcontext(None)


class _Progress:
    """An actor that holds the newest metrics, for the driver to show."""

    def __init__(self) -> None:
        self.newest: dict[str, float] = {}

    def put(self, metrics: dict[str, float]) -> None:
        self.newest = metrics

    def get(self) -> dict[str, float]:
        return self.newest


@contextmanager
def _progress_bar(progress: Any) -> Iterator[None]:
    """Show the newest metrics on this terminal, once a second, until the block ends."""
    ended = threading.Event()

    def show() -> None:
        with tqdm(desc="training", unit="step", mininterval=1, leave=True) as bar:
            while not ended.wait(1):
                _advance(bar, ray.get(progress.get.remote()))
            _advance(bar, ray.get(progress.get.remote()))

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5)


def _advance(bar: Any, metrics: Mapping[str, float]) -> None:
    """Move the bar to the newest step."""
    if metrics:
        bar.total = int(metrics["steps"])
        bar.set_postfix_str(f"{metrics['images_per_s']:.0f} images/s", refresh=False)
        bar.update(int(metrics["step"]) - bar.n)


@contextmanager
def _as_path(checkpoint: ray.train.Checkpoint) -> Iterator[Path]:
    with checkpoint.as_directory() as folder:
        yield Path(folder)


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine for a while.

    A cluster started here answers only to a token that this process has drawn, and has ended
    when the block is left, however it is left. A cluster that was joined is only left. Inside
    another ``ray_cluster`` block this does nothing.
    """
    if ray.is_initialized():
        yield
        return
    handlers = _signal_handlers()
    try:
        if os.environ.get("RAY_ADDRESS"):
            ray.init(logging_level="error", log_to_driver=False)
        else:
            for name, value in {**_OWN_CLUSTER, "RAY_AUTH_TOKEN": secrets.token_hex(32)}.items():
                os.environ.setdefault(name, value)  # Ray asks for the token unless told not to
            ray.init("local", include_dashboard=False, logging_level="error", log_to_driver=False)
        _restore(handlers)  # Ray's SIGTERM handler would exit past the caller's clean-up
        yield
    finally:
        with _undisturbed():
            ray.shutdown(wait_for_processes=True)


def ray_train(
    work: Callable[[dict[str, Any]], Any],
    settings: dict[str, Any],
    *,
    workers: int,
    storage: str,
    name: str,
    best: str = "validation",
) -> Any:
    """Run ``work(settings)`` on Ray Train workers and return what the first one returned.

    Args:
        work: runs in every worker; makes a ``RayContext(settings["progress"])`` and trains.
        settings: handed to ``work``, with ``"progress"`` added; must be picklable.
        workers: how many; each gets a GPU where the cluster has one for each, and an even
            share of the CPU cores that are free.
        storage: folder or URL where the runs keep their checkpoints, seen by all workers.
        name: folder of this run inside ``storage``; a run of the same name continues.
        best: metric whose smallest value marks the checkpoint to keep beside the last.

    Raises:
        AugmentError: what a worker raised on purpose.
        ConfigError: the cluster has fewer cores, or fewer free ones, than workers.
    """
    progress = ray.remote(num_cpus=0)(_Progress).remote()
    use_gpu = ray.cluster_resources().get("GPU", 0) >= workers
    trainer = ray.train.torch.TorchTrainer(
        work,
        train_loop_config={**settings, "progress": progress},
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers,
            use_gpu=use_gpu,
            resources_per_worker={"CPU": _cores_each(workers), **({"GPU": 1} if use_gpu else {})},
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=storage,
            checkpoint_config=ray.train.CheckpointConfig(
                num_to_keep=1, checkpoint_score_attribute=best, checkpoint_score_order="min"
            ),
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),
        ),
    )
    handlers = _signal_handlers()
    try:
        with _progress_bar(progress):
            return trainer.fit().return_value
    except ray.train.WorkerGroupError as error:
        raise _raised_on_purpose(error) or error from None
    except SystemExit:  # how Ray Train's own SIGINT handler ends
        raise KeyboardInterrupt from None
    finally:
        _restore(handlers)  # Ray Train leaves its SIGINT handler behind


def _cores_each(workers: int) -> int:
    """The most CPU cores that every worker can have at once, beside what else is running.

    Which node has the free ones is not asked: on several, workers may still have to wait.

    Raises:
        ConfigError: there are fewer cores, or fewer free ones, than workers.
    """
    nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    for cores in range(max(nodes, default=0), 0, -1):
        if sum(node // cores for node in nodes) >= workers:
            break
    else:
        raise ConfigError(
            f"--workers must be at most the cluster's {sum(nodes)} CPU cores, got {workers}."
        )
    free = _free_cores(cores * workers)
    if free < workers:
        raise ConfigError(
            f"expected a free CPU core for each worker, got {free} of the cluster's {sum(nodes)} "
            f"for --workers {workers}; end what holds the others, such as a service, or give fewer "
            "--workers."
        )
    return min(cores, free // workers)


def _free_cores(wanted: int) -> int:
    """How many CPU cores nothing holds; until there are as many as wanted, for a while."""
    deadline = time.monotonic() + RELEASE_TIMEOUT_S
    while True:
        free = int(ray.available_resources().get("CPU", 0))
        if free >= wanted or time.monotonic() >= deadline:
            return free
        time.sleep(0.2)


def _raised_on_purpose(error: ray.train.WorkerGroupError) -> AugmentError | None:
    """What a worker raised on purpose, if any did."""
    for failure in error.worker_failures.values():
        cause: BaseException | None = getattr(failure, "cause", failure)
        while cause is not None:
            if isinstance(cause, AugmentError):
                return cause
            cause = cause.__cause__
    return None


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore further Ctrl-C while things are put away."""
    handlers = _signal_handlers()
    _restore(dict.fromkeys(handlers, signal.SIG_IGN))
    try:
        yield
    finally:
        _restore(handlers)


def _signal_handlers() -> dict[signal.Signals, Any]:
    """Handlers that Ray may overwrite; empty outside the main thread, where it cannot."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
