"""The seeds of a benchmark: one after another, or several at a time in processes of their own.

Whatever a seed finishes is kept in its folder, so work done in another process is read from
there, and a seed that fails, or whose process is killed, takes nothing from the others.
"""

import json
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

import torch

from augment.errors import AugmentError, ConfigError
from jobs.tasks import Task, say

__all__ = ["SEEDS", "TUNE_SEEDS", "check_report", "run_tasks"]

SEEDS, TUNE_SEEDS = 5, 1  # unless the command line says otherwise

TaskT = TypeVar("TaskT", bound=Task[Any, Any])


def run_tasks(
    work: Callable[[TaskT], object], tasks: Sequence[TaskT], *, processes: int = 1
) -> None:
    """Do the work of every task, up to ``processes`` of them at a time.

    Args:
        work: a function of a module; what it returns is dropped.
        tasks: one a seed.
        processes: 1 works in this process; more start processes of one thread each.

    Raises:
        AugmentError: tasks failed; the others were finished first if there were processes.
    """
    if processes == 1:
        for task in tasks:
            work(task)
        return
    failed: dict[int, BaseException] = {}
    threads = ThreadPoolExecutor(min(processes, len(tasks)))
    seeds = {threads.submit(_in_own_process, work, task): task.seed for task in tasks}
    try:
        for future in as_completed(seeds):
            if (error := future.exception()) is not None:
                failed[seeds[future]] = error
                say(f"seed {seeds[future]}: failed: {_in_words(error)}")
    except KeyboardInterrupt:
        threads.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        threads.shutdown(cancel_futures=True)
    if failed:
        told = "; ".join(f"seed {seed}: {failed[seed]}" for seed in sorted(failed))
        raise AugmentError(
            f"{len(failed)} of {len(tasks)} seeds failed: {told} "
            "What is finished stays; mend this and go on with --resume."
        ) from failed[min(failed)]


def check_report(out: Path, seeds: Sequence[int]) -> None:
    """Refuse to replace the report of a benchmark by one that leaves out some of its seeds.

    Raises:
        ConfigError: there is one in ``out``.
    """
    path = out / "report.json"
    if not path.is_file():
        return
    known = json.loads(path.read_text(encoding="utf-8")).get("seeds", [])
    if set(known) - set(seeds):
        raise ConfigError(
            f"{path} tells of the seeds {', '.join(map(str, known))}, and would be replaced by one "
            f"of {', '.join(map(str, seeds))}; ask for all of them, or give another --out."
        )


def _in_own_process(work: Callable[[TaskT], object], task: TaskT) -> object:
    """Do the work in a process that takes its memory along, and no other task if it is killed."""
    with ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn"), initializer=_be_one_of_many
    ) as pool:
        try:
            return pool.submit(work, task).result()
        except BrokenProcessPool as error:
            raise AugmentError(
                "its process was killed, perhaps for want of memory; take fewer --parallel."
            ) from error


def _be_one_of_many() -> None:
    """Prepare a process: one thread, and Ctrl-C is left to the process that started it."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _in_words(error: BaseException) -> str:
    """An error of ours as its message, any other with its traceback."""
    if isinstance(error, AugmentError):
        return str(error)
    return "".join(traceback.format_exception(error))
