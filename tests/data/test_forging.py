"""Batches of forged and real pictures: fixed by their numbers, of one size, masks that stay with their pixels."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from vilaco.data import forging
from vilaco.data.forging import ForgedPictures, PictureBatch, RealImage, RealPictures, StreamConfig, load_upright
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


def two_coloured(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture whose red pixels are its mask: a lopsided blob away from the middle."""
    mask = np.zeros((height, width), np.uint8)
    corner = np.random.default_rng(seed).integers(4, 20, 2)
    cv2.rectangle(mask, (int(corner[0]), int(corner[1])), (width // 2, height // 3), 1, -1)
    cv2.rectangle(mask, (int(corner[0]), int(corner[1])), (width // 4, height - 8), 1, -1)
    return np.where(mask[..., None] == 1, RED, BLUE).astype(np.uint8), mask


def is_red(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., 0].astype(int) > pixels[..., 2]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> list[RealImage]:
    """Wide and tall images of both kinds, no two of one shape; tampered ones have their pseudo-mask at half size."""
    folder, images = tmp_path_factory.mktemp("real"), []
    for index, (height, width) in enumerate([(100, 160), (160, 100), (64, 96), (130, 131), (300, 90), (70, 400)]):
        for label in (0, 1):
            pixels, mask = two_coloured(height, width, index)
            path = folder / f"{index}-{label}.png"
            Image.fromarray(pixels).save(path)
            half = cv2.resize(mask, (width // 2, height // 2), interpolation=cv2.INTER_NEAREST)
            images.append(RealImage(WeakRecord(path, label, f"{index}{label}"), half if label else None))
    return images


def forged_pictures(photos: list[Path], seed: int = 3, **changes: object) -> ForgedPictures:
    return ForgedPictures(photos, config=stream_config(**changes), seed=seed)


def real_pictures(real: list[RealImage], seed: int = 3, **changes: object) -> RealPictures:
    return RealPictures(real, config=stream_config(**changes), seed=seed)


def assert_same(first: PictureBatch, second: PictureBatch) -> None:
    for name in ("pixels", "matches", "mask", "label"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert (first.operations, first.histories) == (second.operations, second.histories)


def test_a_number_fixes_its_batch_whatever_came_before(photos: list[Path], real: list[RealImage]) -> None:
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


def test_a_real_batch_has_the_size_asked_for_and_both_labels(real: list[RealImage]) -> None:
    pictures = real_pictures(real)
    for number, size in enumerate([(64, 96), (96, 64), (64, 64)]):
        batch = pictures.batch(number, 4, size)
        assert batch.pixels.shape == (4, 3, *size)
        assert batch.label.tolist() == [0, 1, 1, 0]
        for index in range(4):
            assert (batch.mask[index] == 1).any() <= batch.label[index]  # a crop of 70 x 400 may miss its forgery
            np.testing.assert_array_equal(batch.matches[index], self_matches(batch.pixels[index].transpose(1, 2, 0)))


def test_authentic_images_are_authentic_everywhere_and_undrawn_tampered_ones_unknown(real: list[RealImage]) -> None:
    undrawn = real_pictures([RealImage(image.record) for image in real])
    for number in range(4):
        masks = undrawn.batch(number, 4, (64, 96)).mask
        assert not masks[0].any()
        assert (masks[1] == 255).all()
    lied = real_pictures([RealImage(image.record, np.ones((2, 2), np.uint8)) for image in real])
    assert not lied.batch(0, 4, (64, 96)).mask[0].any()  # an authentic image's pseudo-mask is not looked at


@pytest.mark.parametrize("resave_share", [0.0, 1.0])
def test_pseudo_masks_follow_their_pixels_through_crop_flip_and_resize(
    real: list[RealImage], resave_share: float
) -> None:
    pictures = real_pictures(real, resave_share=resave_share)
    agreements = []
    for number in range(30):
        batch = pictures.batch(number, 4, SIZES[number % 2])
        for index in (1, 2):
            red = is_red(batch.pixels[index].transpose(1, 2, 0))
            agreements.append((red == (batch.mask[index] == 1)).mean())
    assert min(agreements) > 0.9  # at outlines half-size masks, nearest neighbours and 4:2:0 colours differ,
    assert np.mean(agreements) > 0.96  # and there are many in so small a picture


def test_unknown_pixels_stay_unknown(real: list[RealImage]) -> None:
    tampered = [image for image in real if image.record.label]
    banded = []
    for image in tampered:
        mask = np.where(image.pseudo_mask == 1, 255, 0).astype(np.uint8)
        mask[:, ::8] = 1
        banded.append(RealImage(image.record, mask))
    pictures = real_pictures([*banded, *(image for image in real if not image.record.label)], resave_share=0.0)
    for number in range(8):
        assert set(np.unique(pictures.batch(number, 4, (64, 96)).mask[1])) == {0, 1, 255}


def test_a_tampered_image_whose_forgery_the_crop_cuts_off_is_unknown(real: list[RealImage]) -> None:
    nothing_left = [RealImage(i.record, np.zeros((5, 5), np.uint8)) for i in real if i.record.label]
    pictures = real_pictures([*nothing_left, *(image for image in real if not image.record.label)])
    masks = pictures.batch(0, 4, (64, 96)).mask
    assert (masks[1] == 255).all()
    assert (masks[0] == 0).all()  # authentic


def test_images_go_to_batches_of_their_own_shape_first(real: list[RealImage]) -> None:
    wide = [image for image in real if image.record.path.stem[0] == "0"]  # 100 x 160, both labels
    for images in (real, wide):
        pictures = real_pictures(images)
        for number in range(6):
            size = SIZES[number % 2]
            assert pictures.batch(number, 4, size).mask.shape == (4, *size)  # also where no image has that shape
    assert set(real_pictures(real).images) == {(False, 0), (False, 1), (True, 0), (True, 1)}


def test_a_turned_photo_enters_upright_beside_its_mask(tmp_path: Path) -> None:
    pixels, mask = two_coloured(96, 64, 1)  # upright
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90 degrees clockwise to see it upright
    path = tmp_path / "turned.png"
    Image.fromarray(np.rot90(pixels).copy()).save(path, exif=exif)
    np.testing.assert_array_equal(load_upright(path), pixels)
    images = [RealImage(WeakRecord(path, label, "x"), mask if label else None) for label in (0, 1)]
    pictures = real_pictures(images, resave_share=0.0)
    assert set(pictures.images) == {(True, 0), (True, 1)}
    for number in range(4):
        batch = pictures.batch(number, 2, (96, 64))
        np.testing.assert_array_equal(is_red(batch.pixels[1].transpose(1, 2, 0)), batch.mask[1] == 1)


def test_few_decoded_images_are_kept_where_memory_is_short(
    real: list[RealImage], monkeypatch: pytest.MonkeyPatch
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
    images = [RealImage(WeakRecord(tmp_path / "sliver.png", label, "x")) for label in (0, 1)]
    assert real_pictures(images).batch(0, 2, (64, 640)).pixels.shape == (2, 3, 64, 640)


@pytest.mark.parametrize("wrong", [{"sizes": []}, {"sizes": [[100, 64]]}, {"sizes": [[56, 64]]}, {"real_share": 1.5}])
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        stream_config(**wrong)
