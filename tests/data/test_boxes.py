"""Boxes around forgeries: read, checked, and kept from reader to list; seen by training only where it asks."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from vilaco.cli.main import app
from vilaco.data.boxes import Box, box_fault, format_boxes, inside_boxes, parse_boxes
from vilaco.data.convert import convert
from vilaco.data.formats import read_dataset
from vilaco.data.loading import weaken
from vilaco.data.records import Record
from vilaco.data.verify import open_splits, verify
from vilaco.errors import DataError


@pytest.fixture
def turned(tmp_path: Path) -> Path:
    """A photo of 30 x 20 pixels that a person sees as 20 x 30."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "b.jpg")
    return tmp_path


def manifest(folder: Path, boxes: str, label: int = 1) -> Path:
    (folder / "manifest.csv").write_text(f'path,label,boxes\na.jpg,{label},"{boxes}"\nb.jpg,0,\n')
    return folder / "manifest.csv"


@pytest.mark.parametrize("text", ["", "  ", "0 0 1 1", "10 20 30 40; 0 0 5 5", "3 4 5 6;7 8 9 10"])
def test_boxes_survive_writing_and_reading(text: str) -> None:
    boxes = parse_boxes(text)
    assert parse_boxes(format_boxes(boxes)) == boxes
    assert len(boxes) == (text.count(";") + 1 if text.strip() else 0)


@pytest.mark.parametrize(
    "text", ["1 2 3", "1 2 3 4 5", "a b c d", "1 2 0 4", "-1 2 3 4", "1.5 2 3 4", "1 2 3 4;", "²1 2 3 4"]
)
def test_what_is_no_box_is_told_with_file_and_line(text: str, turned: Path) -> None:
    with pytest.raises(DataError, match=r"manifest\.csv:2: box '.*' is not 'x y width height' in whole pixels") as told:
        read_dataset(manifest(turned, text))
    assert "\n" not in str(told.value)


def test_pixels_inside_by_hand() -> None:
    inside = inside_boxes([Box(1, 0, 2, 1), Box(0, 1, 2, 2)], (3, 4))
    assert inside.tolist() == [[False, True, True, False], [True, True, False, False], [True, True, False, False]]


@pytest.mark.parametrize(
    ("box", "fits"), [("0 0 20 30", True), ("19 29 1 1", True), ("0 0 21 1", False), ("0 1 1 30", False)]
)
def test_a_box_lies_in_the_photo_as_a_person_sees_it(box: str, fits: bool, turned: Path) -> None:
    file = manifest(turned, box)
    (split,) = verify(open_splits([file])).splits
    assert split.boxed == 1
    records = read_dataset(file)
    if fits:
        assert split.box_faults == []
        assert [image.boxes for image in weaken(records, boxes=True)[0]] == [parse_boxes(box), ()]
        return
    assert box_fault(parse_boxes(box), (30, 20)) == split.box_faults[0].reason
    assert "reaches out of the photo, which is 20x30 pixels" in split.box_faults[0].reason
    with pytest.raises(DataError, match=r"a\.jpg: box .* reaches out of the photo"):
        weaken(records, boxes=True)


def test_boxes_of_an_authentic_photo_contradict_its_label(turned: Path) -> None:
    file = manifest(turned, "0 0 5 5", label=0)
    (split,) = verify(open_splits([file])).splits
    assert [fault.reason for fault in split.box_faults] == ["has boxes, but is labelled authentic"]
    with pytest.raises(DataError, match="has boxes, but is labelled authentic"):
        weaken(read_dataset(file), boxes=True)


def test_verify_counts_boxed_photos_and_names_wrong_boxes(turned: Path) -> None:
    told = CliRunner().invoke(app, ["data", "verify", str(manifest(turned, "0 0 21 1"))])
    assert "  boxes        on 1 images\n" in told.stdout
    assert "a.jpg: box '0 0 21 1' reaches out of the photo, which is 20x30 pixels" in told.stdout


def test_training_that_did_not_ask_sees_no_box(turned: Path) -> None:
    records = read_dataset(manifest(turned, "0 0 5000 5"))  # which would be refused
    assert [image.boxes for image in weaken(records)[0]] == [(), ()]


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_a_manifest_keeps_boxes_and_other_lists_say_that_they_lose_them(name: str, turned: Path) -> None:
    records = read_dataset(manifest(turned, "1 2 3 4; 5 6 7 8"))
    convert({"": records}, turned / name, "manifest")
    assert read_dataset(turned / name) == records
    with pytest.raises(DataError, match=r"has no room for boxes \(1 images\)"):
        convert({"": records}, turned / "out.txt", "mvss")
    assert convert({"": records}, turned / "out.txt", "mvss", allow_loss=True).losses == {"boxes": 1}


def test_a_set_without_boxes_gets_no_column(turned: Path) -> None:
    convert({"": [Record(turned / "a.jpg", 1)]}, turned / "out.csv", "manifest")
    assert (turned / "out.csv").read_text() == "path,label\na.jpg,1\n"
