"""Figures of the guide are those measured."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = {
    "copies": "copy",
    "panels": "panel",
    "scales 0.7 to 1.4": "region: side from 64, scale 0.7 to 1.4",
    "scales 0.5 to 2": "region: side from 64, all scales",
    "of 48 pixels": "region: side 48",
}


def test_figures_are_those_measured() -> None:
    page = (ROOT / "docs/guides/reuse.md").read_text()
    result = json.loads((ROOT / "benchmarks/results/reuse.json").read_text())["sizes"]["100"]
    for words, cell in ROWS.items():
        row = re.search(rf"^\| (\d+) [^|]*{re.escape(words)}[^|]*\| (\d+) \| (\d+) \|$", page, re.MULTILINE)
        assert row is not None, words
        measured = result["recall"][cell]
        assert [int(number) for number in row.groups()] == [measured[name] for name in ("planted", "found", "strong")]
    strong = result["pairs"]["strong"]
    assert strong["wrong"] == 0
    assert f"All {strong['right']} strong pairs" in page
    moderate, weak = result["pairs"]["moderate"], result["pairs"]["weak"]
    assert f"{moderate['repeats']} moderate repeats" in page
    assert f"The {weak['wrong']} weak pairs" in page
    words = " ".join(page.split())
    assert f"It took {result['cpu_seconds']:.0f} seconds of processor time for {result['files']} files" in words
    assert f"{result['more']['pictures']} more took {result['more']['cpu_seconds']:.0f}." in words
