"""Decoding in a child: what a file may take, and what is left when it takes more."""

import multiprocessing
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pictures import exif_with
from serving import photo_bytes
from vilaco.errors import ImageError
from vilaco.images import encode_jpeg, load_photo
from vilaco.serve.sandbox import Sandbox


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 megapixels in a few hundred kilobytes; a second or so to decode."""
    file = tmp_path_factory.mktemp("large") / "large.png"
    cv2.imwrite(str(file), np.full((6000, 8000, 3), 7, np.uint8))
    return file


def sandbox(**changes: float) -> Sandbox:
    return Sandbox(**{"max_pixels": 50_000_000, "seconds": 60, "megabytes": 2048, **changes})


def test_what_comes_back_is_what_lies_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "upload"
    file.write_bytes(photo_bytes())
    photo, evidence = sandbox().read(file, "holiday.jpg")
    expected = load_photo(file)
    np.testing.assert_array_equal(photo.pixels, expected.pixels)
    assert (photo.orientation, photo.source) == (expected.orientation, "holiday.jpg")
    assert evidence.size == file.stat().st_size


def test_a_large_preview_of_noise_is_no_crash(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1900, 2000, 3), np.uint8)
    file = tmp_path / "upload"
    Image.fromarray(noise[:72, :96]).save(file, "WEBP", exif=exif_with(encode_jpeg(noise, 60)))
    [thumbnail] = sandbox().read(file, "holiday.webp")[1].thumbnails
    assert (thumbnail.width, thumbnail.height) == (2000, 1900)


def test_an_error_names_the_photo_not_our_copy(tmp_path: Path) -> None:
    file = tmp_path / "upload"
    file.write_bytes(b"text")
    with pytest.raises(ImageError) as raised:
        sandbox().read(file, "holiday.jpg")
    assert raised.value.code == "not_an_image"
    assert str(raised.value).startswith("holiday.jpg: ")
    assert "upload" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"megabytes": 600}, "out_of_memory"),
        ({"seconds": 0.05}, "decoder_timeout"),
        ({"max_pixels": 999}, "too_many_pixels"),
    ],
)
def test_a_file_that_takes_too_much_costs_itself_alone(large: Path, changes: dict[str, float], code: str) -> None:
    with pytest.raises(ImageError) as raised:
        sandbox(**changes).read(large, "bomb.png")
    assert raised.value.code == code
    assert multiprocessing.active_children() == []


def test_a_decoder_that_dies_is_one_error(large: Path) -> None:
    errors: list[ImageError] = []

    def read() -> None:
        try:
            sandbox().read(large, "deadly.png")
        except ImageError as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    while not (children := multiprocessing.active_children()):
        time.sleep(0.001)
    children[0].kill()
    thread.join()
    assert [error.code for error in errors] == ["decoder_crash"]
