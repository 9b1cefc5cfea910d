"""Figures of the guide are those measured."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = {
    "as stored": "stored",
    "saved at JPEG 80": "jpeg 80",
    "at 0.75x, saved at JPEG 80": "0.75x, jpeg 80",
    "after a random history": "history",
}


def test_figures_are_those_measured() -> None:
    page = (ROOT / "docs/guides/original.md").read_text()
    result = json.loads((ROOT / "benchmarks/results/compare_original.json").read_text())
    for words, name in ROWS.items():
        row = re.search(rf"^\| {re.escape(words)} \| (\S+) \| ([^|]+) \|$", page, re.MULTILINE)
        assert row is not None, words
        assert row[1] == f"{result['pixel_f1_per_image_mean'][name]:.3f}".removeprefix("0")
        assert row[2] == result["twins_marked"][name]
    lettering = f"{result['pixel_f1_by_operation']['stored: text']['mean']:.3f}".removeprefix("0")
    assert f"({lettering} as stored)" in page
    assert f"{result['pictures']} forgeries of the forge" in page
