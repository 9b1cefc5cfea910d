import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from autoencoders import write_autoencoder
from vilaco.data.forge import forge_dataset
from vilaco.data.records import Record
from vilaco.errors import ConfigError, DataError
from vilaco.evaluation.audit import audit_dataset

SHARED = Path(__file__).resolve().parents[2] / "../shared/data/bsds500"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(2)
    for index in range(30):
        soft = cv2.resize(rng.random((5, 7, 3), np.float32) * 230, (150, 110), interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(soft + rng.normal(0, rng.uniform(1, 8), soft.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index:02d}.jpg"), noisy, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 99))])
    return sorted(folder.iterdir())


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "manifest.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_one_seed_gives_the_same_bytes_with_any_number_of_workers(photos: list[Path], tmp_path: Path):
    seen: list[tuple[int, int]] = []
    forge_dataset(photos, tmp_path / "a", count=40, seed=7, workers=1, progress=lambda *now: seen.append(now))
    forge_dataset(photos[::-1], tmp_path / "b", count=40, seed=7, workers=2)
    forge_dataset(photos, tmp_path / "c", count=40, seed=8, workers=1)
    one, two, other = (files(tmp_path / name) for name in "abc")
    assert one == two
    assert one["manifest.csv"] != other["manifest.csv"] or one != other
    assert seen[-1] == (40, 40)


def test_an_autoencoder_re_draws_in_every_worker_alike(photos: list[Path], tmp_path: Path):
    autoencoder = write_autoencoder(tmp_path / "autoencoder")
    settings: dict[str, Any] = {"count": 60, "seed": 7, "autoencoder": autoencoder, "tampered_share": 1.0}
    one, two = (forge_dataset(photos, tmp_path / str(n), workers=n, **settings) for n in (1, 2))
    assert 2 <= one.operations["redraw"] < 20
    assert files(tmp_path / "1") == files(tmp_path / "2")
    assert one.operations == two.operations
    with pytest.raises(DataError, match=r"no \*encoder\.pth"):
        forge_dataset(photos, tmp_path / "none", count=2, seed=7, autoencoder=tmp_path)
    assert not (tmp_path / "none").exists()


def test_the_layout_adds_up(photos: list[Path], tmp_path: Path):
    summary = forge_dataset(photos, tmp_path / "out", count=41, seed=1, tampered_share=0.7, workers=1)
    table = rows(tmp_path / "out")
    assert list(table[0]) == ["path", "label", "mask", "group"]
    assert (summary.tampered, summary.authentic) == (29, 12)
    assert sum(summary.operations.values()) == 29
    assert [row["label"] for row in table].count("1") == 29
    for row in table:
        with Image.open(tmp_path / "out" / row["path"]) as picture:
            picture.load()
            assert not picture.getexif()
        assert (row["mask"] != "") == (row["label"] == "1") == row["path"].startswith("tampered/")
        if row["mask"]:
            with Image.open(tmp_path / "out" / row["mask"]) as mask:
                assert mask.size == picture.size
                assert set(np.unique(np.asarray(mask))) == {0, 255}
    about = json.loads((tmp_path / "out/forge.json").read_text())
    assert about["finished"] is True
    assert about["seed"] == 1
    assert about["config"]["tampered_share"] == 0.7
    assert summary.contact_sheet is not None
    with Image.open(summary.contact_sheet) as sheet:
        assert sheet.width > 1000


def test_no_photo_is_in_two_groups(photos: list[Path], tmp_path: Path):
    forge_dataset(photos, tmp_path / "out", count=60, seed=3, workers=1)
    group_of: dict[str, str] = {}
    for line in (tmp_path / "out/examples.jsonl").read_text().splitlines():
        row = json.loads(line)
        for photo in filter(None, (row["host"], row["donor"])):
            assert group_of.setdefault(photo, row["group"]) == row["group"]


def examples(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "examples.jsonl").read_text().splitlines()]


def test_every_forgery_has_an_authentic_twin(photos: list[Path], tmp_path: Path):
    out = tmp_path / "out"
    forge_dataset(photos, out, count=64, seed=3, workers=1)
    made = examples(out)
    for one, other in zip(made[::2], made[1::2], strict=True):
        assert {one["label"], other["label"]} == {0, 1}
        assert [one[key] for key in ("host", "history", "group")] == [
            other[key] for key in ("host", "history", "group")
        ]
        mask = cv2.imread(str(out / (one["mask"] or other["mask"])), cv2.IMREAD_GRAYSCALE)
        near = cv2.dilate(mask, np.ones((81, 81), np.uint8)) > 0  # JPEG and resizing carry a change outwards
        pictures = [cv2.imread(str(out / row["path"])) for row in (one, other)]
        np.testing.assert_array_equal(pictures[0][~near], pictures[1][~near])
        assert (pictures[0] != pictures[1]).any()


@pytest.mark.parametrize("tampered_share", [0.3, 0.7])
def test_with_other_shares_no_two_pictures_are_the_same(photos: list[Path], tmp_path: Path, tampered_share: float):
    forge_dataset(photos, tmp_path / "out", count=80, seed=3, workers=1, tampered_share=tampered_share)
    made = examples(tmp_path / "out")
    assert sum(row["label"] for row in made) == round(80 * tampered_share)
    assert len({(tmp_path / "out" / row["path"]).read_bytes() for row in made}) == 80


def test_unreadable_photos_are_named_skipped_and_counted(photos: list[Path], tmp_path: Path):
    cut, tiny, text = tmp_path / "cut.jpg", tmp_path / "tiny.png", tmp_path / "text.jpg"
    cut.write_bytes(photos[0].read_bytes()[:900])
    cv2.imwrite(str(tiny), np.zeros((10, 10, 3), np.uint8))
    text.write_text("no picture")
    summary = forge_dataset([*photos, cut, tiny, text], tmp_path / "out", count=300, seed=0, workers=1)
    assert set(summary.unreadable) == {cut, tiny, text}
    assert "smaller than 64 pixels" in summary.unreadable[tiny]
    assert summary.authentic + summary.tampered == 300
    assert summary.photos_used + len(summary.unreadable) == summary.photos_given == 33


def test_jobs_of_a_group_without_photos_go_to_the_others(photos: list[Path], tmp_path: Path):
    bad = [tmp_path / f"0{i}.jpg" for i in range(4)]
    for path in bad:
        path.write_bytes(b"")
    summary = forge_dataset([*bad, *photos[:4]], tmp_path / "out", count=40, seed=0, workers=1)
    assert summary.authentic + summary.tampered == 40
    assert summary.photos_used == 4
    with pytest.raises(DataError, match="none of the 4 photos can be read"):
        forge_dataset(bad, tmp_path / "none", count=4, seed=0, workers=1)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_leaves_whole_files_and_a_manifest_of_them(photos: list[Path], tmp_path: Path, workers: int):
    def interrupt(done: int, count: int) -> None:
        if done >= 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        forge_dataset(photos, tmp_path / "out", count=900, seed=0, workers=workers, progress=interrupt)
    table = rows(tmp_path / "out")
    assert 16 <= len(table) < 900
    assert {row["path"] for row in table} == {
        name for name in files(tmp_path / "out") if name.startswith(("authentic/", "tampered/"))
    }
    for row in table:
        with Image.open(tmp_path / "out" / row["path"]) as picture:
            picture.load()
    assert json.loads((tmp_path / "out/forge.json").read_text())["finished"] is False
    assert not [name for name in files(tmp_path / "out") if name.endswith(".tmp")]


def test_what_stops_the_first_pictures_is_what_is_raised(photos: list[Path], tmp_path: Path):
    (tmp_path / "segments").mkdir()
    (tmp_path / "segments/01.mat").write_bytes(b"x" * 300)
    with pytest.raises(DataError, match=r"01\.mat"):
        forge_dataset(photos[:2], tmp_path / "out", count=24, seed=3, segments=[tmp_path / "segments"], workers=1)
    assert not (tmp_path / "out").exists()


def test_a_full_folder_and_wrong_numbers_are_refused(photos: list[Path], tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/old.jpg").touch()
    with pytest.raises(DataError, match="not an empty folder"):
        forge_dataset(photos, tmp_path / "full", count=1, seed=0)
    with pytest.raises(ConfigError, match="count >= 1"):
        forge_dataset(photos, tmp_path / "out", count=0, seed=0)
    with pytest.raises(ConfigError, match="tampered_share"):
        forge_dataset(photos, tmp_path / "out", count=1, seed=0, tampered_share=1.5)


@pytest.mark.shared_data
def test_the_audit_finds_no_shortcut(tmp_path: Path):
    """Every probe that must not know the labels stays within .45 to .55, on 200 pictures of either label.

    One standard error of an AUC of unpaired pictures would be .029 here; twins make it smaller.
    """
    if not SHARED.is_dir():
        pytest.skip("needs shared/data/bsds500 beside the project")
    photos = sorted((SHARED / "images").rglob("*.jpg"))[:200]
    out = tmp_path / "out"
    forge_dataset(photos, out, count=400, seed=7, segments=[SHARED / "segments"], workers=1, size=(128, 192))
    records = [
        Record(out / row["path"], int(row["label"]), out / row["mask"] if row["mask"] else None, row["group"])
        for row in rows(out)
    ]
    report = audit_dataset(records, data="forged")
    assert report.verdict[0].startswith("No shortcut found in forged")
    judged = [probe for probe in report.probes if probe.can_be_shortcut]
    assert {probe.evidence for probe in judged} >= {"all metadata", "JPEG tables", "background"}
    for probe in judged:
        assert 0.45 <= probe.auc <= 0.55, (probe.evidence, probe.history)
