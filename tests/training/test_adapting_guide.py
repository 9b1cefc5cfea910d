"""The guide to adapting, run small: from the page's answers to a model of one's own."""

import csv
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import vilaco
from pictures import make_textured
from vilaco.cli.main import app
from vilaco.data.formats import read_dataset
from vilaco.method.checkpoint import save_checkpoint
from vilaco.method.vilaco import ViLaCo, ViLaCoConfig
from vilaco.training.recipe import load_recipe

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/adapt.md").read_text()
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"^```\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if line.startswith("vilaco ")
]
PAGE = Path(vilaco.__file__).parent / "serve/page/corrections.js"
SMALL = {
    "training.precision": "32-true",
    "training.validation_share": 0.25,
    "self_training.stream.batch_size": 4,
    "self_training.stream.sizes": [[64, 96]],
    "self_training.num_workers": 0,
    "self_training.store": None,
    "self_training.round": {"steps": 2},
}


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    """``photos/`` with the manifest of a page's answers: 12 authentic photos, 12 with a smoothed part in a box; and
    ``my_photos/``, the authentic ones again."""
    columns = re.findall(r'"(\w+)"', re.search(r"const COLUMNS = \[(.*?)\]", PAGE.read_text())[1])
    folder = tmp_path / "photos"
    folder.mkdir()
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="cannot tell")
        writer.writeheader()
        for index in range(24):
            pixels = make_textured(np.random.default_rng(index), 96, 128)
            if index % 2:
                pixels[24:72, 32:96] = cv2.bilateralFilter(pixels, 0, 60, 4)[24:72, 32:96]
            cv2.imwrite(str(folder / f"{index:02d}, seen.png"), pixels)
            boxes = "32 24 64 48" if index % 2 else ""
            writer.writerow({"path": f"{index:02d}, seen.png", "label": index % 2, "boxes": boxes})
    for photo in sorted(folder.glob("*.png"))[::2]:
        (tmp_path / "my_photos").mkdir(exist_ok=True)
        shutil.copy(photo, tmp_path / "my_photos")
    return folder


@pytest.fixture
def start(tiny_forensic: dict[str, Any], tmp_path: Path) -> Path:
    """A small untrained model in the place of the shipped one."""
    save_checkpoint(ViLaCo(ViLaCoConfig.model_validate(tiny_forensic)), tmp_path / "start")
    return tmp_path / "start"


def test_from_answers_to_a_model(
    answers: Path, start: Path, tiny_forensic: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = SMALL | {f"model.{name}": value for name, value in tiny_forensic.items()}
    settings = [
        f"{name}={yaml.safe_dump(value, default_flow_style=True, width=10**6)}" for name, value in small.items()
    ]
    outputs = {}
    for words in COMMANDS:
        if words[0] in ("serve", "calibrate", "export"):  # need a browser, a trained score, and what that leaves
            continue
        small_words = [str(start) if word == "research" else word for word in words]
        if words[0] == "train":
            small_words += [part for setting in settings for part in ("--set", setting)]
        result = CliRunner().invoke(app, small_words)
        assert result.exit_code == 0, (words, result.output)
        outputs[" ".join(words)] = result.stdout
    assert [words[0] for words in COMMANDS] == [
        *(
            "serve",
            "data",
            "audit",
            "data",
            "train",
            "train",
            "train",
            "evaluate",
            "evaluate",
            "detect",
            "calibrate",
            "serve",
            "export",
        )
    ]
    kept, held_out = (read_dataset(Path(f"split/{name}.csv")) for name in ("kept", "held_out"))
    assert len(kept) + len(held_out) == 24
    assert {record.label for record in kept} == {record.label for record in held_out} == {0, 1}
    assert "held-out I-AUC" in outputs["train split/kept.csv --from research --out runs/mine"]
    assert len(list(Path("looked_at").glob("*.overlay.jpg"))) == 24
    assert load_recipe("runs/mine/recipe.yaml").name == "default"
    assert [path.name for path in Path("runs/mine/stages").iterdir()] == ["0"]  # the round alone
    told = {name: json.loads(Path(f"runs/{name}/run.json").read_text()) for name in ("mine", "boxed", "quiet")}
    assert {name: run["supervision"] for name, run in told.items()} == {
        "mine": "image labels",
        "boxed": "boxes",
        "quiet": "authentic photos alone",
    }
    assert told["mine"]["boxes"] == 0 < told["boxed"]["boxes"]
