import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from vilaco.data.formats import read_dataset
from vilaco.images import encode_jpeg, load_mask, load_photo

HERE = Path(__file__).resolve().parents[1] / "examples"
PHOTOS = sorted((HERE / "photos").rglob("*.jpg"))
MASKS = sorted((HERE / "masks").iterdir())
HOSTS = {
    "two_dahlias": "flower",
    "dahlia_on_saucer": "coffee",
    "rocket_by_the_lake": "china",
    "no_mission_patch": "astronaut",
    "blue_eyes": "chelsea",
    "two_rockets": "rocket",
}


def load(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    return load("make_examples")


@pytest.fixture(scope="module")
def examples(maker: ModuleType) -> list:
    return maker.make_examples()


def path_of(example) -> Path:
    return HERE / "photos" / ("authentic" if example.mask is None else "tampered") / f"{example.name}.jpg"


def test_the_bundled_photos_are_what_the_script_makes(examples: list) -> None:
    """Within what another processor's rounding may change; on the one that wrote them they are bit-identical."""
    assert sorted(map(path_of, examples)) == PHOTOS
    for example in examples:
        made = load_photo(encode_jpeg(example.pixels, example.quality)).pixels.astype(int)
        assert np.abs(made - load_photo(path_of(example)).pixels).mean() < 0.25, example.name


def test_the_bundled_masks_are_what_the_script_makes(examples: list) -> None:
    tampered = {example.name: example.mask for example in examples if example.mask is not None}
    assert sorted(tampered) == [path.stem for path in MASKS]
    for path in MASKS:
        assert set(np.unique(Image.open(path))) == {0, 255}
        mask = load_mask(path)
        assert mask.shape == load_photo(HERE / "photos/tampered" / f"{path.stem}.jpg").pixels.shape[:2]
        assert 0.01 < mask.mean() < 0.15
        assert (mask != tampered[path.stem]).mean() < 0.001


def test_a_forgery_changes_its_mask_and_nothing_else(maker: ModuleType, examples: list) -> None:
    for example in examples:
        original = maker.SOURCES[HOSTS.get(example.name, example.name)]()
        changed = (example.pixels != original).any(axis=2)
        if example.mask is None:
            assert not changed.any()
        else:
            assert not (changed & ~example.mask).any()
            assert changed[example.mask].mean() > 0.9, example.name


def test_jpeg_quality_does_not_tell_the_label() -> None:
    tables = {"authentic": Counter[str](), "tampered": Counter[str]()}
    for path in PHOTOS:
        with Image.open(path) as photo:
            tables[path.parent.name][str(photo.quantization)] += 1
    assert len(tables["authentic"]) == 3
    assert {table: 2 * count for table, count in tables["authentic"].items()} == tables["tampered"]


def test_the_folder_reads_as_a_data_set_and_stays_small() -> None:
    assert Counter(record.label for record in read_dataset(HERE / "photos")) == {0: 3, 1: 6}
    assert sum(path.stat().st_size for path in (*PHOTOS, *MASKS)) < 1_200_000


def test_readme_names_every_photo_source_and_quality(maker: ModuleType, examples: list) -> None:
    lines = (HERE / "README.md").read_text().splitlines()
    for example in examples:
        row = next(line for line in lines if f"`{path_of(example).parent.name}/{example.name}`" in line)
        assert row.endswith(f"| {example.quality} |")
        assert HOSTS.get(example.name, example.name) in row.split("|")[2]
    for source in maker.SOURCES:
        row = next(line for line in lines if line.startswith(f"| {source} |"))
        assert any(licence in row for licence in ("public domain", "CC0", "CC BY 2.0"))


def test_demo_judges_every_photo(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    demo = load("demo")
    monkeypatch.setattr(sys, "argv", ["demo.py", str(tiny_model), "--out", str(tmp_path)])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    demo.main()
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [Path(row["path"]) for row in rows] == PHOTOS
    for path in PHOTOS:
        for end in (".mask.png", ".map.png", ".overlay.jpg"):
            assert (tmp_path / path.parent.name / f"{path.stem}{end}").is_file()
    height, width = load_photo(tmp_path / "overview.jpg").upright_size
    assert height > 9 * demo.CELL[0]
    assert width > 4 * demo.CELL[1]
    printed = capsys.readouterr().out
    assert printed.count("authentic/") == 3
    assert printed.count("tampered/") == 6
    assert str(tmp_path / "overview.jpg") in printed


def test_demo_without_its_model_says_so_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, HERE / "demo.py", tmp_path / "nowhere", "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "nowhere" in done.stderr
    assert done.stderr.count("\n") == 1
