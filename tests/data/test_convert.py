"""Lists that are written and read back; what a format cannot hold is refused, or counted when allowed."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from vilaco.data.convert import TARGETS, convert
from vilaco.data.formats import READERS, read_dataset, read_splits
from vilaco.data.records import Record
from vilaco.errors import DataError


def records(root: Path) -> list[Record]:
    return [
        Record(root / "Au/a.jpg", 0),
        Record(root / "Tp/b.jpg", 1, root / "Gt/b.png"),
    ]


@pytest.mark.parametrize("format", sorted(TARGETS))
def test_every_format_that_is_written_is_read_back(tmp_path: Path, format: str) -> None:
    data = records(tmp_path)
    file = tmp_path / f"list{TARGETS[format].suffixes[0]}"
    report = convert({"": data}, file, format)
    assert (report.images, report.written, report.left_out, report.losses) == (2, 2, 0, {})
    assert READERS[format](file) == data


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
def test_a_manifest_holds_everything(tmp_path: Path, name: str) -> None:
    data = [
        Record(tmp_path / "a, b.jpg", 0, group="x"),
        Record(tmp_path / "ü b.jpg", 1, tmp_path / "m.png", "x", "zero"),
        Record(tmp_path / "c.jpg", 1, tmp_path / "m2.png", mask_rule="green"),
        Record(tmp_path / "d.jpg", None),
        Record(tmp_path / "e.jpg", 0, tmp_path / "black.png"),
    ]
    convert({"": data}, tmp_path / name, "manifest")
    assert read_dataset(tmp_path / name) == data


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
def test_a_manifest_holds_any_name(tmp_path: Path, name: str) -> None:
    odd = ["a\u2028b.jpg", "a\x85b.jpg", "a\nb.jpg", " lead.jpg", 'quo"te.jpg', "trail "]
    data = [Record(tmp_path / one, 1, tmp_path / f" masks/{one}.png") for one in odd]
    convert({"": data}, tmp_path / name, "manifest")
    assert read_dataset(tmp_path / name) == data


def test_paths_are_relative_to_the_list(tmp_path: Path) -> None:
    convert({"": records(tmp_path)}, tmp_path / "lists/deep/m.csv", "manifest")
    assert (tmp_path / "lists/deep/m.csv").read_text() == (
        "path,label,mask\n../../Au/a.jpg,0,\n../../Tp/b.jpg,1,../../Gt/b.png\n"
    )
    again = read_dataset(tmp_path / "lists/deep/m.csv")
    assert [record.path.resolve() for record in again] == [record.path for record in records(tmp_path)]


@pytest.mark.parametrize("format", sorted(TARGETS))
def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path, format: str) -> None:
    latin = tmp_path / os.fsdecode(b"caf\xe9")
    file = f"list{TARGETS[format].suffixes[0]}"
    with pytest.raises(DataError, match=r"the name is not UTF-8, and a list is; rename the file"):
        convert({"": [Record(latin / "a.jpg", 0)]}, tmp_path / file, format)
    assert not (tmp_path / file).exists()
    report = convert({"": [Record(latin / "a.jpg", 0)]}, latin / file, format)  # whose paths need not name the folder
    assert report.file == rf"{tmp_path}/caf\xe9/{file}"
    assert READERS[format](latin / file) == [Record(latin / "a.jpg", 0)]


def test_a_list_in_a_linked_folder_finds_its_files(tmp_path: Path) -> None:
    (tmp_path / "deep/real").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep/real", target_is_directory=True)
    for place in (tmp_path / "outside.jpg", tmp_path / "deep/real/inside.jpg"):
        place.touch()
    given = [Record(tmp_path / "outside.jpg", 0), Record(tmp_path / "link/inside.jpg", 0)]
    convert({"": given}, tmp_path / "link/m.csv", "manifest")
    assert (tmp_path / "link/m.csv").read_text() == "path,label\n../../outside.jpg,0\ninside.jpg,0\n"
    convert({"": read_dataset(tmp_path / "link/m.csv")}, tmp_path / "again/m.csv", "manifest")
    again = read_dataset(tmp_path / "again/m.csv")
    assert [record.path.resolve() for record in again] == [record.path.resolve() for record in given]


def test_mvss_divides_by_tabs_where_paths_have_spaces(tmp_path: Path) -> None:
    data = [Record(tmp_path / "my photo.jpg", 1), Record(tmp_path / "b.jpg", None)]
    convert({"": data}, tmp_path / "l.txt", "mvss")
    assert (tmp_path / "l.txt").read_text() == "my photo.jpg\tNone\t1\nb.jpg\n"
    assert read_dataset(tmp_path / "l.txt") == data


def test_wscl_subsets_survive_and_are_a_loss_elsewhere(tmp_path: Path) -> None:
    data = records(tmp_path)
    splits = {"train": data[:1], "val": data[1:]}
    convert(splits, tmp_path / "l.json", "wscl")
    assert read_splits(tmp_path / "l.json") == splits
    with pytest.raises(DataError, match=r"no room for split names \(2 images\)"):
        convert(splits, tmp_path / "m.csv", "manifest")


@pytest.mark.parametrize(("name", "format"), [("l.json", "wscl"), ("m.csv", "manifest")])
def test_an_image_in_two_subsets_is_a_loss(tmp_path: Path, name: str, format: str) -> None:
    first, second = records(tmp_path)
    splits = {"train": [first], "val": [replace(first, path=tmp_path / "Tp/../Au/a.jpg"), second]}
    with pytest.raises(DataError, match=r"no room for images listed before \(1 images\)"):
        convert(splits, tmp_path / name, format)
    report = convert(splits, tmp_path / name, format, allow_loss=True)
    assert (report.images, report.written, report.left_out) == (3, 2, 1)
    assert report.losses["images listed before"] == 1
    assert read_dataset(tmp_path / name) == [first, second]


def test_loss_is_refused_with_counts_and_nothing_is_written(tmp_path: Path) -> None:
    data = [
        Record(tmp_path / "a.jpg", 0, group="x"),
        Record(tmp_path / "b.jpg", 1, tmp_path / "b.png", "x", "zero"),
        Record(tmp_path / "c.jpg", 1, tmp_path / "c.png", "y"),
        Record(tmp_path / "d.jpg", None),
    ]
    file = tmp_path / "l.json"
    with pytest.raises(DataError, match=r"scene groups \(3 images\), masks whose rule is 'zero' \(1 images\)"):
        convert({"": data}, file, "benco_json")
    assert not file.exists()

    report = convert({"": data}, file, "benco_json", allow_loss=True)
    assert report.losses == {
        "scene groups": 3,
        "masks whose rule is 'zero'": 1,
        "tampered images without a mask": 1,  # b, whose inverted mask would be misread
        "images without a label": 1,
    }
    assert (report.images, report.written, report.left_out) == (4, 2, 2)
    assert read_dataset(file) == [
        Record(tmp_path / "a.jpg", 0),
        Record(tmp_path / "c.jpg", 1, tmp_path / "c.png"),
    ]


def test_catnet_wants_jpegs_and_comma_lists_no_commas(tmp_path: Path) -> None:
    data = [Record(tmp_path / "a.tif", 0), Record(tmp_path / "b,c.jpg", 0), Record(tmp_path / "d.jpg", 0)]
    with pytest.raises(DataError, match=r"images other than JPEG \(1 images\), paths with a comma \(1 images\)"):
        convert({"": data}, tmp_path / "l.csv", "catnet")
    assert convert({"": data}, tmp_path / "l.csv", "catnet", allow_loss=True).written == 1
    with pytest.raises(DataError, match="can hold none of the 1 images"):
        convert({"": data[:1]}, tmp_path / "n.csv", "catnet", allow_loss=True)


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        (
            "m.csv",
            "columbia",
            "format 'columbia' can be read but is no list of files; a list can be one of manifest",
        ),
        ("m.csv", "coco", "format 'coco' is unknown"),
        ("m.txt", "manifest", r"m\.txt: a list of format manifest ends in \.csv or \.jsonl"),
    ],
)
def test_targets_that_cannot_be_written(tmp_path: Path, name: str, format: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        convert({"": records(tmp_path)}, tmp_path / name, format)
