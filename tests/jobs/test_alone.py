"""Two jobs at one ``--out``: the second is told so, until the first has ended or died."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from augment.errors import ConfigError, DataError
from augment.export import Card, Record
from augment.images import encode_png
from jobs import benchmark, evaluate, generate, read_back, train
from jobs.alone import alone_at
from jobs.exports import writing_alone

HOLD = """
import sys
from jobs.alone import alone_at
with alone_at(sys.argv[1]):
    print("at work", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_has_died(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"at work\n"
        told = f"one job at a time at {tmp_path}/out, got a second one.*give another --out"
        with pytest.raises(ConfigError, match=told), alone_at(tmp_path / "out"):
            pass
        with alone_at(tmp_path / "elsewhere"):
            pass
        first.kill()
    with alone_at(tmp_path / "out"):
        assert (tmp_path / "out" / ".lock").exists()


def test_an_error_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), alone_at(tmp_path):
        raise ZeroDivisionError
    with alone_at(tmp_path):
        pass


def test_a_url_keeps_nobody_away() -> None:
    with alone_at("s3://bucket/x"), alone_at("s3://bucket/x"):
        pass


def test_a_lock_file_of_others_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "poetry.lock").write_text("precious")
    with writing_alone("csv", tmp_path / "poetry", None, Card()):
        pass
    assert (tmp_path / "poetry.lock").read_text() == "precious"


@pytest.mark.parametrize("count", [3, 0])
def test_an_export_leaves_no_lock_beside_it(tmp_path: Path, count: int) -> None:
    out, png = tmp_path / "lines", encode_png(np.zeros((4, 4, 1), np.uint8))
    with suppress(DataError), writing_alone("csv", out, None, Card()) as writer:
        told = pytest.raises(ConfigError, match="one job at a time")
        with told, writing_alone("csv", out, None, Card()):
            pass
        for index in range(count):
            writer.add(Record(png=png, label="a", index=index))
        if not count:
            raise DataError("nothing was kept")
        writer.close({})
    assert [path.name for path in tmp_path.iterdir()] == ["lines"] * bool(count)


def test_every_job_that_writes_pieces_looks_whether_it_is_alone(
    tmp_path: Path, demo_registry: Path
) -> None:
    out = tmp_path / "registry" / "name"
    beside = out.parent / ".name.labelmint-lock"
    runs: Sequence[tuple[object, list[str], Path]] = (
        (benchmark, ["digits", "--quick", "--seeds", "1"], out / ".lock"),
        (benchmark, ["plates", "--quick", "--seeds", "1"], out / ".lock"),
        (evaluate, [f"{demo_registry}/digits", "--data", "digits:"], out / ".lock"),
        (train, ["saae", "--data", "digits:"], out.parent / train.RUNS / "name.lock"),
        (generate, [f"{demo_registry}/digits", "--per-label", "1"], beside),
        (generate, ["renderer:words", "--count", "1"], beside),
        (read_back, ["plates"], out / ".lock"),
    )
    for job, words, lock in runs:
        with alone_at(out, lock):
            job.main([*words, "--out", str(out), "--dry-run"])
            with pytest.raises(ConfigError, match="one job at a time"):
                job.main([*words, "--out", str(out)])
