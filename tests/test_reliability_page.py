"""``docs/reliability.md`` says what the result files and the tests say."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks/reliability_page.py"))


def test_the_page_is_what_the_script_writes(script: dict[str, Any]) -> None:
    page = script["PAGE"].read_text()
    assert script["with_figures"](page) == page, "run: python benchmarks/reliability_page.py"


def test_a_figure_follows_its_file_and_one_that_is_missing_is_said(script: dict[str, Any], tmp_path: Path) -> None:
    row = next(row for row in script["ROWS"] if getattr(row, "benchmark", "") == "fuzz_decoder")
    script["Measured"].row.__globals__["RESULTS"] = tmp_path
    assert row.row().endswith("| `python benchmarks/fuzz_decoder.py` | not measured yet |")
    result = json.loads((ROOT / "benchmarks/results/fuzz_decoder.json").read_bytes())
    result |= {"images": 123_456, "deaths": [{"image": 7, "exit_code": -11}], "command": "python it.py"}
    (tmp_path / "fuzz_decoder.json").write_text(json.dumps(result))
    assert "| `python it.py` | 123,456 images: 0 unexpected exceptions, 1 crashes, 0 stops" in row.row()


def test_every_link_leads_somewhere(script: dict[str, Any]) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", script["PAGE"].read_text()):
        assert (script["PAGE"].parent / target).exists(), target
