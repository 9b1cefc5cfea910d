"""The notebook `examples/tour.ipynb` runs from top to bottom, and what is stored of it is whole and small."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TOUR = ROOT / "examples/tour.ipynb"
MAX_BYTES = 300_000  # so that a browser shows it at once


def code_cells() -> list[dict[str, Any]]:
    return [cell for cell in json.loads(TOUR.read_text())["cells"] if cell["cell_type"] == "code"]


def test_it_runs_from_top_to_bottom(tmp_path: Path) -> None:
    for name in ("photos", "masks"):
        shutil.copytree(ROOT / "examples" / name, tmp_path / name)
    (tmp_path / "made").mkdir()
    program = "\n\n".join("".join(cell["source"]) for cell in code_cells())
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "HF_HUB_OFFLINE": "1",
        "TMPDIR": str(tmp_path / "made"),
    }
    command = [sys.executable, "-W", "error", "-c", program]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "as fitted" in run.stdout
    assert list((tmp_path / "made").glob("*/case.html"))


def test_what_is_stored_is_whole_and_small() -> None:
    assert TOUR.stat().st_size < MAX_BYTES
    cells = code_cells()
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"stream", "execute_result"}
    assert sum("image/jpeg" in output.get("data", {}) for output in outputs) == 3
    assert "stderr" not in {output.get("name") for output in outputs}
