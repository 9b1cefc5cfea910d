"""What verify finds in sets that were broken on purpose; every count is worked by hand."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vilaco.data.records import Record
from vilaco.data.verify import DataSplit, open_splits, verify
from vilaco.data.verify_report import VerifyReport
from vilaco.errors import DataError


def photo(path: Path, shade: int, size: tuple[int, int] = (8, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 40, 90)).save(path)
    return path


def mask(path: Path, values: list[int] | None = None, size: tuple[int, int] = (8, 6)) -> Path:
    """A mask that is zero but for its first pixels."""
    pixels = np.zeros(size[::-1], dtype=np.uint8)
    pixels.flat[: len(values or [])] = values or []
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def check_sums(report: VerifyReport) -> None:
    for split in report.splits:
        masks = split.masks
        assert split.images == split.authentic + split.tampered + split.unlabelled
        assert split.images == split.readable + len(split.unreadable)
        assert masks.listed == (
            masks.good + masks.unreadable + masks.size_differs + masks.all_zero + masks.contradicts_label
        )
        assert len(split.mask_faults) == masks.listed - masks.good


@pytest.fixture
def broken(tmp_path: Path) -> DataSplit:
    """Nine images, each with a different fate."""
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "text.png").write_text("no picture")
    records = [
        Record(photo(tmp_path / "good.png", 1), 1, mask(tmp_path / "m/good.png", [255, 255]), "s1"),
        Record(photo(tmp_path / "blurred.png", 2), 1, mask(tmp_path / "m/blurred.png", [255, 90]), "s1"),
        Record(photo(tmp_path / "empty.png", 3), 1, mask(tmp_path / "m/empty.png"), "s2"),
        Record(photo(tmp_path / "turned.png", 4), 1, mask(tmp_path / "m/turned.png", [255], (6, 8))),
        Record(photo(tmp_path / "no_mask.png", 5), 1),
        Record(photo(tmp_path / "bad_mask.png", 6), 1, tmp_path / "text.png"),
        Record(photo(tmp_path / "clean.png", 7), 0, mask(tmp_path / "m/clean.png")),
        Record(photo(tmp_path / "marked.png", 8), 0, mask(tmp_path / "m/marked.png", [255] * 12)),
        Record(tmp_path / "text.jpg", 0),
        Record(tmp_path / "missing.jpg", None),
    ]
    photo(tmp_path / "stray.png", 99)
    return DataSplit("broken", records, "", tmp_path)


def test_every_fault_is_counted_and_named(broken: DataSplit) -> None:
    report = verify([broken])
    check_sums(report)
    (split,) = report.splits
    assert (split.images, split.authentic, split.tampered, split.unlabelled) == (10, 3, 6, 1)
    assert (split.scenes, split.without_scene) == (2, 7)
    assert {Path(fault.file).name: fault.reason for fault in split.unreadable}.keys() == {
        "text.jpg",
        "missing.jpg",
    }
    assert next(f for f in split.unreadable if "missing" in f.file).reason == "No such file or directory"
    assert split.masks.model_dump() == {
        "listed": 7,
        "good": 3,  # good, blurred, clean
        "unreadable": 1,
        "size_differs": 1,
        "all_zero": 1,
        "contradicts_label": 1,
        "not_binary": 1,
        "tampered_without_mask": 1,
        "pixel_truth": 2,  # good and blurred
    }
    assert [Path(file).name for file in split.masks_not_binary] == ["blurred.png"]
    reasons = {Path(fault.file).name: fault.reason for fault in split.mask_faults}
    assert reasons["turned.png"] == "mask is 6x8 pixels, its image is 8x6"
    assert reasons["marked.png"] == "marks 25.0% of an image labelled authentic"
    assert [Path(file).name for file in split.files_not_used] == ["stray.png"]
    assert report.unreadable == 3


def test_mask_size_policies(broken: DataSplit) -> None:
    assert verify([broken], mask_size_policy="resize").splits[0].masks.pixel_truth == 3
    with pytest.raises(DataError, match=r"turned\.png: mask is 6x8 pixels, its image is 8x6"):
        verify([broken], mask_size_policy="fail")


def test_a_mask_of_an_image_that_exif_turns_is_compared_the_way_people_see_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored 8 wide and 6 high, seen 6 wide and 8 high
    Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg", exif=exif)
    record = Record(tmp_path / "a.jpg", 1, mask(tmp_path / "m.png", [255], (6, 8)))
    assert verify([DataSplit("one", [record])]).splits[0].masks.good == 1


def test_inverted_masks_are_judged_by_their_rule(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.png", 1)
    white = mask(tmp_path / "m.png", [255] * 48)
    for rule, status in (("zero", "all_zero"), ("nonzero", "good")):
        masks = verify([DataSplit("one", [Record(path, 1, white, mask_rule=rule)])]).splits[0].masks
        assert getattr(masks, status) == 1


def test_scenes_and_bytes_are_compared_between_splits(tmp_path: Path) -> None:
    for name in ("a.png", "copy_of_a.png", "other_label.png"):
        photo(tmp_path / name, 1)
    train = [
        Record(tmp_path / "a.png", 0, group="x"),
        Record(tmp_path / "other_label.png", 1, group="x"),
        Record(photo(tmp_path / "b.png", 2), 0, group="y"),
    ]
    test = [
        Record(tmp_path / "copy_of_a.png", 0, group="z"),
        Record(photo(tmp_path / "c.png", 3), 1, group="y"),
    ]
    report = verify([DataSplit("train", train), DataSplit("test", test)])
    assert [scene.model_dump() for scene in report.shared_scenes] == [{"scene": "y", "splits": ["train", "test"]}]
    (copies,) = report.identical_files
    assert [Path(file).name for file in copies.files] == ["a.png", "other_label.png", "copy_of_a.png"]
    assert copies.labels == [0, 1, 0]
    assert copies.splits == ["train", "train", "test"]
    assert (copies.labels_differ, copies.splits_differ, copies.scenes_differ) == (True, True, True)


def test_copies_of_one_label_split_and_scene_are_harmless(tmp_path: Path) -> None:
    records = [Record(photo(tmp_path / name, 1), 0, group="x") for name in ("a.png", "b.png")]
    (copies,) = verify([DataSplit("one", records)]).identical_files
    assert (copies.labels_differ, copies.splits_differ, copies.scenes_differ) == (False, False, False)


def test_known_counts_stand_beside_what_was_found(tmp_path: Path) -> None:
    photo(tmp_path / "Au/Au_ani_0001.jpg", 1)
    photo(tmp_path / "Tp/Sp_S_NNN_A_ani0001_ani0001_0001.jpg", 2)
    (split,) = verify(open_splits([tmp_path])).splits
    assert (split.format, split.tampered) == ("casia1", 1)
    assert [(known.source, known.tampered) for known in split.known] == [
        ("authors, TruFor", 921),
        ("MVSS-Net", 920),
        ("WSCL", 919),
    ]


def test_names_that_are_not_utf_8_are_reported(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"set \xe9")
    names = [os.fsdecode(name) for name in (b"\xe9.png", b"\xe8.png", b"\xff.png")]
    records = [Record(photo(root / name, 1), 0, group=name) for name in names[:2]]
    (root / names[2]).write_bytes(b"no picture")
    report = verify([DataSplit(str(root), [*records, Record(root / names[2], 0)], root=root)])
    told = json.loads(report.model_dump_json())
    assert told["splits"][0]["name"] == rf"{tmp_path}/set \xe9"
    assert told["splits"][0]["unreadable"][0]["file"] == rf"{tmp_path}/set \xe9/\xff.png"
    assert told["identical_files"][0]["scenes"] == [r"\xe9.png", r"\xe8.png"]


def test_a_split_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be named once, got a, a"):
        verify([DataSplit("a", []), DataSplit("a", [])])


@pytest.mark.shared_data
def test_development_sets_are_what_their_readme_says() -> None:
    root = Path(__file__).resolve().parents[3] / "shared/data"
    if not root.is_dir():
        pytest.skip(f"needs the development data at {root}")
    casia, micc, comofod = verify(
        open_splits([root / name for name in ("casia1_dev", "micc_f220", "comofod_50")])
    ).splits
    assert (casia.format, casia.authentic, casia.tampered, casia.masks.good) == ("manifest", 435, 509, 508)
    assert (casia.scenes, casia.masks.tampered_without_mask) == (160, 1)
    assert (micc.format, micc.authentic, micc.tampered, micc.masks.good) == ("micc_f220", 110, 110, 110)
    assert (comofod.format, comofod.authentic, comofod.tampered, comofod.masks.good) == (
        "comofod",
        50,
        50,
        50,
    )
    assert comofod.scenes < 50  # several numbers forge one original
    assert casia.unreadable + micc.unreadable + comofod.unreadable == []


@pytest.mark.shared_data
def test_casia_reader_agrees_with_the_development_manifest() -> None:
    root = Path(__file__).resolve().parents[3] / "shared/data/casia1_dev"
    if not root.is_dir():
        pytest.skip(f"needs the development data at {root}")
    from vilaco.data.formats import read_dataset

    listed = {record.path: record for record in read_dataset(root)}
    found = {record.path: record for record in read_dataset(root, "casia1")}
    assert listed.keys() == found.keys()
    assert all(listed[path].mask == found[path].mask for path in listed)
    assert len({(listed[path].group, found[path].group) for path in listed}) == 160  # one to one
