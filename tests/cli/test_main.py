"""Exit codes of the whole command line: 1 is a finding, and nothing else."""

import os
import subprocess
import sys

import pytest

ENV = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
VILACO = [sys.executable, "-m", "vilaco"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
@pytest.mark.parametrize("words", ["--version", "data verify --help", "models card"])
def test_an_output_that_takes_nothing_is_one_line_and_code_2(words: str) -> None:
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            [*VILACO, *words.split()], stdout=full, stderr=subprocess.PIPE, text=True, env=ENV, check=False
        )
    assert (run.returncode, run.stderr) == (2, "error: the output cannot be written (No space left on device)\n")


def test_a_reader_that_has_gone_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run([*VILACO, "models", "card"], stdout=writing, stderr=subprocess.PIPE, env=ENV, check=False)
    os.close(writing)
    assert (run.returncode, run.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("bug", "words"), [("1 / 0", "ZeroDivisionError"), ("open('/no/file')", "/no/file"), ("raise EOFError", "Aborted")]
)
def test_a_bug_is_no_finding(bug: str, words: str) -> None:
    program = f"""
from vilaco.cli.main import app, main
@app.command()
def fail() -> None:
    {bug}
main()
"""
    run = subprocess.run([sys.executable, "-c", program, "fail"], capture_output=True, text=True, env=ENV, check=False)
    assert run.returncode == 2
    assert words in run.stderr
