"""What is said of many photos that were read otherwise than their files store them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pictures import make_photo
from vilaco.decoding import kind_of_note
from vilaco.images import load_photo
from vilaco.notes import Noted


@pytest.mark.parametrize(
    ("note", "kind"),
    [
        ("page 12 of 345", "one page of several"),
        ("the file ends too early: rows 1 to 48 of 72 were judged, the rest is unknown", "the file ends too early"),
        ("its decoder found damage: Fax4Decode: Bad code word", "its decoder found damage"),
        ("the file lacks its end, and nothing of the picture", "the file lacks its end, and nothing of the picture"),
        ("transparent parts were laid over white", "transparent parts were laid over white"),
    ],
)  # fmt: skip
def test_notes_of_one_kind_differ_in_numbers_alone(note: str, kind: str) -> None:
    assert kind_of_note(note) == kind


def test_photos_are_counted_once_a_kind_and_the_first_is_named(tmp_path: Path) -> None:
    pages = [Image.fromarray(make_photo(np.random.default_rng(seed))) for seed in range(3)]
    glass = pages[0].convert("RGBA")
    glass.putalpha(128)
    pages[0].save(tmp_path / "a.png")
    pages[0].save(tmp_path / "b.tif", save_all=True, append_images=pages[1:])
    glass.save(tmp_path / "c.tif", save_all=True, append_images=[glass])
    glass.save(tmp_path / "d.png")
    noted = Noted.among((path, load_photo(path).notes) for path in sorted(tmp_path.iterdir()))
    assert noted is not None
    assert noted.photos == 3
    assert noted.kinds == {"one page of several": 2, "transparent parts were laid over white": 2}
    assert noted.first == str(tmp_path / "b.tif")
    assert Noted.among([("a.jpg", ())]) is None


def test_names_that_are_not_utf8_are_written_out() -> None:
    noted = Noted.among([(Path("\udcff.gif"), ("page 1 of 2",))])
    assert noted is not None
    assert noted.first == "\\xff.gif"
    assert str(noted).startswith("1 photo was read otherwise than stored: one page of several (1)")
