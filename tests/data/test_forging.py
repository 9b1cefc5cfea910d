"""The stream of forged and real examples: fixed by its numbers, one size a batch, masks that stay with their pixels."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from vilaco.data import forging
from vilaco.data.forging import ForgedAndReal, RealImage, StreamConfig, batches, load_upright
from vilaco.data.loading import WeakRecord
from vilaco.images import resize_pixels
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


def make_stream(photos: list[Path], real: list[RealImage], seed: int = 3, **changes: object) -> ForgedAndReal:
    return ForgedAndReal(photos, real, view_size=32, config=stream_config(**changes), seed=seed)


def test_a_number_fixes_its_example_whatever_came_before(photos: list[Path], real: list[RealImage]) -> None:
    forward, backward = make_stream(photos, real), make_stream(photos, real)
    numbers = [0, 1, 5, 8, 15, 70]
    first = {number: forward[number] for number in numbers}
    second = {number: backward[number] for number in reversed(numbers)}
    for number in numbers:
        for name, value in first[number].items():
            np.testing.assert_array_equal(value, second[number][name])
    other = make_stream(photos, real, seed=4)
    assert any(not np.array_equal(first[number]["pixels"], other[number]["pixels"]) for number in numbers)


def test_a_batch_has_one_size_and_its_examples_agree_with_their_masks(
    photos: list[Path], real: list[RealImage]
) -> None:
    stream, sizes = make_stream(photos, real), set()
    for numbers in batches(stream.config, first_step=0, steps=6):
        examples = [stream[number] for number in numbers]
        shapes = {example["pixels"].shape for example in examples}
        assert len(shapes) == 1
        sizes |= {shape[1:] for shape in shapes}
        assert [example["real"] for example in examples] == [1, 1, 1, 1, 0, 0, 0, 0]
        assert [example["label"] for example in examples[:4]] == [0, 1, 1, 0]  # as many of each
        for example in examples:
            assert example["pixels"].dtype == example["view"].dtype == example["mask"].dtype == np.uint8
            assert example["mask"].shape == example["pixels"].shape[1:]
            expected = resize_pixels(example["pixels"].transpose(1, 2, 0), (32, 32)).transpose(2, 0, 1)
            np.testing.assert_array_equal(example["view"], expected)
            assert (example["mask"] == 1).any() <= example["label"]  # the crop of a 70 x 400 image may miss its forgery
            if not example["real"]:
                assert (example["mask"] == 1).any() == example["label"]
                assert set(np.unique(example["mask"])) <= {0, 1}  # of a forgery all is known
            stored = example["pixels"].transpose(1, 2, 0)
            np.testing.assert_array_equal(example["matches"], self_matches(stored))
            assert example["matches"].shape == (5, stored.shape[0] // 8, stored.shape[1] // 8)
    assert sizes == set(SIZES)


def test_without_real_images_all_are_forged_at_the_wanted_share(photos: list[Path]) -> None:
    stream = make_stream(photos, [])
    examples = [stream[number] for number in range(80)]
    assert not any(example["real"] for example in examples)
    share = np.mean([example["label"] for example in examples])
    assert 0.6 < share < 0.9  # three in four; 80 draws stray by .05


def test_authentic_images_are_authentic_everywhere_and_undrawn_tampered_ones_unknown(
    photos: list[Path], real: list[RealImage]
) -> None:
    undrawn = [RealImage(image.record) for image in real]
    stream = make_stream(photos, undrawn)
    for step in range(4):
        assert not stream[8 * step]["mask"].any()
        assert (stream[8 * step + 1]["mask"] == 255).all()
    lied = [RealImage(image.record, np.ones((2, 2), np.uint8)) for image in real]
    assert not make_stream(photos, lied)[0]["mask"].any()  # an authentic image's pseudo-mask is not looked at


@pytest.mark.parametrize("resave_share", [0.0, 1.0])
def test_pseudo_masks_follow_their_pixels_through_crop_flip_and_resize(
    photos: list[Path], real: list[RealImage], resave_share: float
) -> None:
    stream = make_stream(photos, real, resave_share=resave_share)
    agreements = []
    for step, place in itertools.product(range(30), (1, 2)):
        example = stream[8 * step + place]
        red = is_red(example["pixels"].transpose(1, 2, 0))
        agreements.append((red == (example["mask"] == 1)).mean())
    assert min(agreements) > 0.9  # at outlines half-size masks, nearest neighbours and 4:2:0 colours differ,
    assert np.mean(agreements) > 0.96  # and there are many in so small a picture


def test_unknown_pixels_stay_unknown(photos: list[Path], real: list[RealImage]) -> None:
    tampered = [image for image in real if image.record.label]
    banded = []
    for image in tampered:
        mask = np.where(image.pseudo_mask == 1, 255, 0).astype(np.uint8)
        mask[:, ::8] = 1
        banded.append(RealImage(image.record, mask))
    stream = make_stream(photos, [*banded, *(image for image in real if not image.record.label)], resave_share=0.0)
    for step in range(8):
        example = stream[8 * step + 1]
        assert set(np.unique(example["mask"])) == {0, 1, 255}


def test_a_tampered_image_whose_forgery_the_crop_cuts_off_is_unknown(photos: list[Path], real: list[RealImage]) -> None:
    nothing_left = [RealImage(i.record, np.zeros((5, 5), np.uint8)) for i in real if i.record.label]
    stream = make_stream(photos, [*nothing_left, *(image for image in real if not image.record.label)])
    assert (stream[1]["mask"] == 255).all()
    assert (stream[0]["mask"] == 0).all()  # authentic


def test_images_go_to_batches_of_their_own_shape_first(photos: list[Path], real: list[RealImage]) -> None:
    wide = [image for image in real if image.record.path.stem[0] == "0"]  # 100 x 160, both labels
    for images in (real, wide):
        stream = make_stream(photos, images)
        for step in range(6):
            example = stream[8 * step + 1]
            assert example["mask"].shape in SIZES  # also where no image has that shape
    assert set(make_stream(photos, real).real) == {(False, 0), (False, 1), (True, 0), (True, 1)}


def test_a_turned_photo_enters_upright_beside_its_mask(photos: list[Path], tmp_path: Path) -> None:
    pixels, mask = two_coloured(96, 64, 1)  # upright
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90 degrees clockwise to see it upright
    path = tmp_path / "turned.png"
    Image.fromarray(np.rot90(pixels).copy()).save(path, exif=exif)
    np.testing.assert_array_equal(load_upright(path), pixels)
    images = [RealImage(WeakRecord(path, label, "x"), mask if label else None) for label in (0, 1)]
    stream = make_stream(photos, images, sizes=((96, 64),), resave_share=0.0)
    assert set(stream.real) == {(True, 0), (True, 1)}
    for step in range(4):
        example = stream[8 * step + 1]
        np.testing.assert_array_equal(is_red(example["pixels"].transpose(1, 2, 0)), example["mask"] == 1)


def test_few_decoded_images_are_kept_where_memory_is_short(
    photos: list[Path], real: list[RealImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, numbers = make_stream(photos, real), [8 * step + place for step in range(4) for place in range(4)]
    expected = [whole[number]["pixels"] for number in numbers]
    monkeypatch.setattr(forging, "DECODED_BYTES", 100_000)
    short = make_stream(photos, real)
    for number, pixels in zip(numbers, expected, strict=True):
        np.testing.assert_array_equal(short[number]["pixels"], pixels)
    assert sum(pixels.nbytes for pixels in short._decoded.values()) <= 100_000
    assert len(short._decoded) < len(whole._decoded)


@pytest.mark.parametrize("size", [(1, 90), (500, 1), (3, 3)])
def test_slivers_and_specks_are_enlarged(photos: list[Path], tmp_path: Path, size: tuple[int, int]) -> None:
    Image.fromarray(np.full((*size, 3), 77, np.uint8)).save(tmp_path / "sliver.png")
    images = [RealImage(WeakRecord(tmp_path / "sliver.png", label, "x")) for label in (0, 1)]
    stream = make_stream(photos, images, sizes=((64, 640), (640, 64)), batch_size=2)
    assert stream[0]["pixels"].shape in ((3, 64, 640), (3, 640, 64))


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_devices_share_every_batch_without_overlap(world: int) -> None:
    config = stream_config()
    parts = [batches(config, first_step=2, steps=6, rank=rank, world=world) for rank in range(world)]
    for step in range(4):
        together = sorted(number for part in parts for number in part[step])
        assert together == list(range(8 * (step + 2), 8 * (step + 3)))
    assert batches(config, first_step=4, steps=6) == batches(config, first_step=0, steps=6)[4:]  # where it stopped
    assert batches(config, first_step=6, steps=6) == []


@pytest.mark.parametrize("wrong", [{"sizes": []}, {"sizes": [[100, 64]]}, {"sizes": [[56, 64]]}, {"real_share": 1.5}])
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        stream_config(**wrong)
