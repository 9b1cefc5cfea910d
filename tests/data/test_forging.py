"""Batches of forged and real pictures: fixed by their numbers, of one size, boxes that stay with their pixels."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from vilaco.data import forging
from vilaco.data.boxes import Box
from vilaco.data.forging import ForgedPictures, PictureBatch, RealPictures, StreamConfig, load_upright
from vilaco.data.loading import WeakRecord
from vilaco.matching import self_matches

SIZES = ((64, 96), (96, 64))
RED, BLUE = (220, 30, 30), (30, 30, 220)  # far enough apart to survive any JPEG


def stream_config(**changes: object) -> StreamConfig:
    return StreamConfig.model_validate({"batch_size": 8, "sizes": SIZES, "real_share": 0.5, **changes})


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for index in range(5):
        soft = cv2.resize(rng.random((6, 8, 3), np.float32) * 220, (150, 120), interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(soft + rng.normal(0, 6, soft.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), noisy)
    return sorted(folder.iterdir())


def two_coloured(height: int, width: int, seed: int) -> tuple[np.ndarray, tuple[Box, Box]]:
    """A picture whose red pixels are those in its two boxes: a lopsided blob away from the middle."""
    left, top = (int(side) for side in np.random.default_rng(seed).integers(4, 20, 2))
    boxes = (Box(left, top, width // 2 - left, height // 3 - top), Box(left, top, width // 4 - left, height - 8 - top))
    pixels = np.full((height, width, 3), BLUE, np.uint8)
    for x, y, across, down in boxes:
        pixels[y : y + down, x : x + across] = RED
    return pixels, boxes


def is_red(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., 0].astype(int) > pixels[..., 2]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> list[WeakRecord]:
    """Wide and tall images of both kinds, no two of one shape; boxes of tampered ones are what is red."""
    folder, images = tmp_path_factory.mktemp("real"), []
    for index, (height, width) in enumerate([(100, 160), (160, 100), (64, 96), (130, 131), (300, 90), (70, 400)]):
        for label in (0, 1):
            pixels, boxes = two_coloured(height, width, index)
            path = folder / f"{index}-{label}.png"
            Image.fromarray(pixels).save(path)
            images.append(WeakRecord(path, label, f"{index}{label}", boxes=boxes if label else ()))
    return images


def forged_pictures(photos: list[Path], seed: int = 3, **changes: object) -> ForgedPictures:
    return ForgedPictures(photos, config=stream_config(**changes), seed=seed)


def real_pictures(real: list[WeakRecord], seed: int = 3, **changes: object) -> RealPictures:
    return RealPictures(real, config=stream_config(**changes), seed=seed)


def assert_same(first: PictureBatch, second: PictureBatch) -> None:
    for name in ("pixels", "matches", "mask", "label"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert (first.operations, first.histories) == (second.operations, second.histories)


def test_a_number_fixes_its_batch_whatever_came_before(photos: list[Path], real: list[WeakRecord]) -> None:
    numbers = [0, 1, 5, 8]
    forward, backward, other = forged_pictures(photos), forged_pictures(photos), forged_pictures(photos, seed=4)
    first = {number: forward.batch(number, 4) for number in numbers}
    for number in reversed(numbers):
        assert_same(first[number], backward.batch(number, 4))
    assert any(not np.array_equal(first[n].pixels, other.batch(n, 4).pixels) for n in numbers)
    drawn, again = real_pictures(real), real_pictures(real)
    expected = {number: drawn.batch(number, 4, (64, 96)) for number in numbers}
    for number in reversed(numbers):
        assert_same(expected[number], again.batch(number, 4, (64, 96)))


def test_a_forged_batch_has_one_size_and_its_last_pictures_are_twins_of_its_first(photos: list[Path]) -> None:
    forge, sizes = forged_pictures(photos), set()
    for number in range(6):
        batch = forge.batch(number, 8)
        sizes.add(batch.mask.shape[1:])
        assert batch.pixels.shape == (8, 3, *batch.mask.shape[1:])
        assert batch.pixels.dtype == batch.mask.dtype == np.uint8
        assert batch.label.tolist() == [1, 1, 1, 1, 1, 0, 0, 0]  # 0.375 of eight
        assert set(np.unique(batch.mask)) <= {0, 1}  # of a forgery all is known
        for index in range(8):
            stored = batch.pixels[index].transpose(1, 2, 0)
            assert (batch.mask[index] == 1).any() == batch.label[index] == bool(batch.operations[index])
            np.testing.assert_array_equal(batch.matches[index], self_matches(stored))
            assert batch.matches[index].shape == (5, stored.shape[0] // 8, stored.shape[1] // 8)
        for twin in range(3):
            forged, authentic = batch.pixels[twin].astype(int), batch.pixels[5 + twin].astype(int)
            assert batch.histories[twin] == batch.histories[5 + twin]
            inside = batch.mask[twin] == 1
            change = np.abs(forged - authentic).max(axis=0)
            assert change[inside].mean() > 2 * change[~inside].mean()  # saved again, blocks beside it move a little
    assert sizes == set(SIZES)


def test_hosts_are_drawn_by_weight(photos: list[Path]) -> None:
    alone = ForgedPictures(photos, config=stream_config(), seed=0, weights=[0, 0, 1, 0, 0])
    rng = np.random.default_rng(0)
    assert {alone.photos.paths[alone._draw_host(rng)] for _ in range(20)} == {photos[2]}
    shared = ForgedPictures(photos, config=stream_config(), seed=0, weights=[3, 0, 1, 0, 0])
    drawn = [shared._draw_host(rng) for _ in range(400)]
    assert set(drawn) == {0, 2}
    assert 0.68 < np.mean([index == 0 for index in drawn]) < 0.82


def test_a_batch_tells_which_of_the_given_photos_its_hosts_are(tmp_path: Path) -> None:
    given = []
    for name, channel in (("c", 0), ("a", 1), ("b", 2)):  # not in the order of their names
        pixels = np.random.default_rng(channel).integers(0, 60, (120, 150, 3), dtype=np.uint8)
        pixels[..., channel] += 160
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        given.append(tmp_path / f"{name}.png")
    forge = ForgedPictures(given, config=stream_config(), seed=0)
    seen = set()
    for number in range(4):
        batch = forge.batch(number, 8)
        for pixels, label, host in zip(batch.pixels, batch.label, batch.hosts, strict=True):
            if not label:
                assert pixels.mean(axis=(1, 2)).argmax() == host
                seen.add(host)
    assert seen == {0, 1, 2}


def test_a_real_batch_has_the_size_asked_for_and_both_labels(real: list[WeakRecord]) -> None:
    pictures = real_pictures(real)
    for number, size in enumerate([(64, 96), (96, 64), (64, 64)]):
        batch = pictures.batch(number, 4, size)
        assert batch.pixels.shape == (4, 3, *size)
        assert batch.label.tolist() == [0, 1, 1, 0]
        for index in range(4):
            assert (batch.mask[index] == 1).any() <= batch.label[index]  # a crop of 70 x 400 may miss its forgery
            np.testing.assert_array_equal(batch.matches[index], self_matches(batch.pixels[index].transpose(1, 2, 0)))


def test_authentic_images_are_authentic_everywhere_and_tampered_ones_without_boxes_nowhere_for_certain(
    real: list[WeakRecord],
) -> None:
    without = real_pictures([replace(image, boxes=()) for image in real])
    for number in range(4):
        batch = without.batch(number, 4, (64, 96))
        assert not batch.mask[[0, 3]].any()
        assert (batch.mask[[1, 2]] == 1).all()


def test_authentic_images_alone_make_whole_batches(real: list[WeakRecord]) -> None:
    alone = real_pictures([image for image in real if not image.label])
    batch = alone.batch(0, 4, (64, 96))
    assert not batch.label.any()
    assert not batch.mask.any()


@pytest.mark.parametrize("resave_share", [0.0, 1.0])
def test_boxes_follow_their_pixels_through_crop_flip_and_resize(real: list[WeakRecord], resave_share: float) -> None:
    pictures = real_pictures(real, resave_share=resave_share)
    agreements = []
    for number in range(30):
        batch = pictures.batch(number, 4, SIZES[number % 2])
        for index in (1, 2):
            red = is_red(batch.pixels[index].transpose(1, 2, 0))
            agreements.append((red == (batch.mask[index] == 1)).mean())
            assert batch.label[index] == batch.mask[index].any()
    assert min(agreements) > 0.9  # at outlines mixed pixels and 4:2:0 colours differ,
    assert np.mean(agreements) > 0.96  # and there are many in so small a picture


def test_a_crop_without_a_box_is_authentic_and_a_tiny_box_stays(real: list[WeakRecord], tmp_path: Path) -> None:
    wide = tmp_path / "wide.png"
    Image.fromarray(np.full((256, 3840, 3), 90, np.uint8)).save(wide)
    images = [WeakRecord(wide, 0, "a"), WeakRecord(wide, 1, "b", boxes=(Box(1900, 100, 2, 2),))]
    labels = {int(real_pictures(images).batch(number, 2, (64, 96)).label[1]) for number in range(40)}
    assert labels == {0, 1}  # a crop is a tenth of the picture
    images[1] = replace(images[1], boxes=tuple(Box(x, 100, 2, 2) for x in range(0, 3840, 200)))
    batch = real_pictures(images).batch(0, 2, (64, 96))
    assert batch.label[1] == 1
    assert 0 < batch.mask[1].mean() < 0.01


def test_what_the_teacher_sees_is_the_picture_before_its_last_save(real: list[WeakRecord]) -> None:
    saved, unsaved = (real_pictures(real, resave_share=share).batch(2, 4, (64, 96)) for share in (1.0, 0.0))
    assert saved.unsaved is not None
    np.testing.assert_array_equal(saved.unsaved, unsaved.pixels)
    assert not np.array_equal(saved.unsaved, saved.pixels)


def test_images_go_to_batches_of_their_own_shape_first(real: list[WeakRecord]) -> None:
    wide = [image for image in real if image.path.stem[0] == "0"]  # 100 x 160, both labels
    for images in (real, wide):
        pictures = real_pictures(images)
        for number in range(6):
            size = SIZES[number % 2]
            assert pictures.batch(number, 4, size).mask.shape == (4, *size)  # also where no image has that shape
    assert set(real_pictures(real).images) == {(False, 0), (False, 1), (True, 0), (True, 1)}


def test_a_turned_photo_enters_upright_beside_its_mask(tmp_path: Path) -> None:
    pixels, boxes = two_coloured(96, 64, 1)  # upright
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90 degrees clockwise to see it upright
    path = tmp_path / "turned.png"
    Image.fromarray(np.rot90(pixels).copy()).save(path, exif=exif)
    np.testing.assert_array_equal(load_upright(path), pixels)
    images = [WeakRecord(path, label, "x", boxes=boxes if label else ()) for label in (0, 1)]
    pictures = real_pictures(images, resave_share=0.0)
    assert set(pictures.images) == {(True, 0), (True, 1)}
    for number in range(4):
        batch = pictures.batch(number, 2, (96, 64))
        np.testing.assert_array_equal(is_red(batch.pixels[1].transpose(1, 2, 0)), batch.mask[1] == 1)


def test_few_decoded_images_are_kept_where_memory_is_short(
    real: list[WeakRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = real_pictures(real)
    expected = [whole.batch(number, 4, (64, 96)) for number in range(4)]
    monkeypatch.setattr(forging, "DECODED_BYTES", 100_000)
    short = real_pictures(real)
    for number, batch in enumerate(expected):
        assert_same(short.batch(number, 4, (64, 96)), batch)
    assert sum(pixels.nbytes for pixels in short._decoded.values()) <= 100_000
    assert len(short._decoded) < len(whole._decoded)


@pytest.mark.parametrize("size", [(1, 90), (500, 1), (3, 3)])
def test_slivers_and_specks_are_enlarged(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.fromarray(np.full((*size, 3), 77, np.uint8)).save(tmp_path / "sliver.png")
    images = [WeakRecord(tmp_path / "sliver.png", label, "x") for label in (0, 1)]
    assert real_pictures(images).batch(0, 2, (64, 640)).pixels.shape == (2, 3, 64, 640)


@pytest.mark.parametrize("wrong", [{"sizes": []}, {"sizes": [[100, 64]]}, {"sizes": [[56, 64]]}, {"real_share": 1.5}])
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        stream_config(**wrong)
