"""One job at a time at one ``--out``: two would overwrite each other's pieces."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from augment.errors import ConfigError

__all__ = ["alone_at"]


@contextmanager
def alone_at(out: str | Path, lock: str | Path | None = None) -> Iterator[None]:
    """Keep other jobs away from where results go, as long as the block runs.

    The system lets go when the process ends, however it ends; the file that is locked stays and
    means nothing by itself. From a URL such as s3://bucket/x nobody is kept away.

    Args:
        out: ``--out``, absolute.
        lock: the file, made with its folder where missing; None: OUT/.lock.

    Raises:
        ConfigError: another job is at work there.
    """
    if "://" in str(out):
        yield
        return
    file = Path(lock or Path(out) / ".lock")
    file.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(file)
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"expected one job at a time at {out}, got a second one while the first is at work; "
            "wait until it ends, or give another --out."
        ) from None
    try:
        yield
    finally:
        held.release()
