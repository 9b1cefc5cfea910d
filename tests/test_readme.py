"""What README says must be so."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
FENCES = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
PYTHON = [code for language, code in FENCES if language == "python"]
COMMANDS = [
    line.split("#")[0].strip() for _, code in FENCES for line in code.splitlines() if line.startswith("vilaco ")
]


def test_the_python_example_runs_and_prints_a_result(tmp_path: Path) -> None:
    (code,) = PYTHON
    shutil.copytree(ROOT / "examples/photos", tmp_path / "examples/photos")
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.startswith(("tampered ", "authentic ", "cannot tell "))
    assert len(list((tmp_path / "demo-out").iterdir())) == 3


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_and_option_exists(line: str) -> None:
    words = shlex.split(line)
    names = [words[1]] if words[1] not in ("data", "models") else words[1:3]
    command = [sys.executable, "-m", "vilaco", *names, "--help"]
    env = {"COLUMNS": "200", "PATH": "", "NO_COLOR": "1", "TERM": "dumb"}
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
    for word in words:
        if word.startswith("--"):
            assert word in shown, word


def test_every_picture_and_link_is_there() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("page", ["README.md", "src/vilaco/weights/research/README.md"])
def test_every_measured_row_is_in_the_results(page: str) -> None:
    tables = [ROOT / f"benchmarks/results/{name}.md" for name in ("compare", "shipped_model")]
    results = [line for table in tables for line in table.read_text().splitlines()]
    rows = [line for line in (ROOT / page).read_text().splitlines() if line.startswith("|") and " / ." in line]
    assert rows
    assert [row for row in rows if row not in results] == []
