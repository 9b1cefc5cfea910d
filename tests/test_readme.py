"""What README says must be so; its commands and links are looked at with those of the docs (`test_guides.py`)."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
FENCES = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
PYTHON = [code for language, code in FENCES if language == "python"]


def test_the_python_example_runs_and_prints_a_result(tmp_path: Path) -> None:
    (code,) = PYTHON
    shutil.copytree(ROOT / "examples/photos", tmp_path / "examples/photos")
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.startswith(("tampered ", "nothing found ", "cannot tell "))
    assert len(list((tmp_path / "demo-out").iterdir())) == 3


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120


@pytest.mark.parametrize(
    "page", ["docs/results.md", *(f"src/vilaco/weights/{name}/README.md" for name in ("free", "research"))]
)
def test_every_measured_row_is_in_the_results(page: str) -> None:
    tables = [ROOT / f"benchmarks/results/{name}.md" for name in ("compare", "shipped_model")]
    results = [line for table in tables for line in table.read_text().splitlines()]
    measured = re.compile(r"\|.* / \.|\| (casia1_dev|micc_f220|comofod_50) \|")
    rows = [line for line in (ROOT / page).read_text().splitlines() if measured.match(line)]
    assert rows
    assert [row for row in rows if row not in results] == []
