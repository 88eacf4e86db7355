"""Run all speed benchmarks: ``make bench``, or ``python -m benchmarks.run [NAME …]``.

Prints ratios and writes them, with the figures behind them, to benchmarks/results.json.
"""

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

from augment.errors import ConfigError
from benchmarks import generation, http, memory, overhead, renderer

__all__ = ["main"]

RESULTS = Path(__file__).with_name("results.json")
BENCHMARKS = {
    "generation": (generation.measure, ">= 5", "sampler against the same network in eager fp32"),
    "http": (http.measure, ">= 0.9", "HTTP against the same zip made without Serve"),
    "overhead": (overhead.measure, "<= 1.03", "Ray Train with one worker against the bare loop"),
    "renderer": (renderer.measure, ">= 20", "rendered lines against TextRecognitionDataGenerator"),
    "memory": (memory.measure, "<= 1.05", "peak memory on 10 N images against N"),
}


def main() -> None:
    """Run the benchmarks named, or all; others keep their last results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], help="default: all")
    names = parser.parse_args().names or list(BENCHMARKS)
    os.environ.setdefault("RAY_worker_niceness", "0")  # both sides of a ratio at one priority
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in names:
        measure, target, what = BENCHMARKS[name]
        try:
            figures = {key: round(value, 4) for key, value in measure().items()}
        except ConfigError as error:  # something beside it is not there
            print(f"{name:<11}not measured: {error}", flush=True)
            continue
        passed = reaches(figures["ratio"], target)
        results[name] = {**figures, "what": what, "target": target, "reached": passed}
        results["machine"] = {
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        RESULTS.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")
        mark = "reached" if passed else "missed"
        print(f"{name:<11}{figures['ratio']:6.2f}  target {target:<8}{mark:<9}{what}", flush=True)


def reaches(ratio: float, target: str) -> bool:
    """Whether a ratio satisfies ``>= x`` or ``<= x``."""
    sign, limit = target.split()
    return ratio >= float(limit) if sign == ">=" else ratio <= float(limit)


if __name__ == "__main__":
    main()
