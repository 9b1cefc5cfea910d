"""Running scans, and reading what they left."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def command(*arguments: object) -> list[str]:
    """The command line of a ``vilaco scan``."""
    return [sys.executable, "-m", "vilaco", "scan", *map(str, arguments)]


def run_cli(*arguments: object, env: dict[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``vilaco``, and take down what it says."""
    environment = {**os.environ, "NO_COLOR": "1", **(env or {})}
    line = [sys.executable, "-m", "vilaco", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment, check=False, timeout=280, **options)


run_scan = partial(run_cli, "scan")


def rows_of(out: Path) -> list[dict[str, object]]:
    """Every row of every part; a part that is not whole fails the test."""
    return [row for part in sorted((out / "results").glob("*")) for row in pq.read_table(part).to_pylist()]
