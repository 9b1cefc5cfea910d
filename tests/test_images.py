import csv
import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin

from pictures import encoded, smooth
from vilaco.errors import ImageError
from vilaco.images import Photo, encode_jpeg, load_mask, load_photo, resave_jpeg, resize_map, resize_pixels, tile_rows

CASIA = Path(__file__).resolve().parents[1] / "../shared/data/casia1_dev"


def write(path: Path, picture: Image.Image | np.ndarray, kind: str = "PNG", **options: object) -> Path:
    path.write_bytes(encoded(picture, kind, **options))
    return path


def square(size: int = 8) -> np.ndarray:
    mask = np.zeros((size, size + 2), bool)
    mask[2:5, 3:6] = True
    return mask


def test_mask_modes_give_one_answer(tmp_path: Path) -> None:
    mask = square()
    grey = mask.astype(np.uint8) * 255
    palette = Image.fromarray(mask.astype(np.uint8))
    palette.putpalette([0, 0, 0, 180, 20, 20])
    opaque = np.full_like(grey, 255)
    pictures = {
        "bilevel": Image.fromarray(mask),
        "grey": Image.fromarray(grey),
        "ones": Image.fromarray(mask.astype(np.uint8)),
        "palette": palette,
        "sixteen": Image.fromarray(mask.astype(np.uint16)),  # the value 1 of 65535 is tampered too
        "blue": Image.fromarray(np.dstack([grey * 0, grey * 0, grey])),
        "opaque": Image.fromarray(np.dstack([grey, grey, grey, opaque])),
        "alpha_ignored": Image.fromarray(np.dstack([grey, grey, grey, 255 - grey])),
        "alpha_only_black": Image.fromarray(np.dstack([grey * 0, grey * 0, grey * 0, grey])),
        "alpha_only_white": Image.fromarray(np.dstack([opaque, opaque, opaque, grey])),
        "grey_alpha": Image.merge("LA", [Image.fromarray(grey), Image.fromarray(opaque)]),
    }
    for name, picture in pictures.items():
        loaded = load_mask(write(tmp_path / f"{name}.png", picture))
        assert loaded.dtype == bool
        np.testing.assert_array_equal(loaded, mask, err_msg=name)


def test_mask_edges(tmp_path: Path) -> None:
    one = np.zeros((5, 7), np.uint8)
    one[4, 6] = 1
    assert np.argwhere(load_mask(write(tmp_path / "one.png", one))).tolist() == [[4, 6]]
    assert load_mask(write(tmp_path / "all.png", one * 0 + 255)).all()
    assert not load_mask(write(tmp_path / "none.png", one * 0)).any()
    transparent = np.zeros((5, 7, 4), np.uint8)
    assert not load_mask(write(tmp_path / "clear.png", transparent)).any()


def test_zero_rule_takes_black(tmp_path: Path) -> None:
    inverted = np.where(square(), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(load_mask(write(tmp_path / "m.png", inverted), "zero"), square())


def test_green_rule_takes_both_greens_through_jpeg(tmp_path: Path) -> None:
    colours = [(255, 0, 0), (200, 0, 0), (255, 255, 255), (90, 90, 90), (0, 0, 0), (0, 255, 0), (0, 200, 0)]
    mask = np.zeros((32, 32 * len(colours), 3), np.uint8)
    for i, colour in enumerate(colours):
        mask[:, 32 * i : 32 * (i + 1)] = colour
    path = write(tmp_path / "edgemask.jpg", mask, "JPEG", quality=75)
    found = load_mask(path, "green")[:, 16::32].all(axis=0)
    assert found.tolist() == [False] * 5 + [True] * 2


def test_mask_is_turned_like_its_photo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = write(tmp_path / "m.png", square().astype(np.uint8), exif=exif)
    np.testing.assert_array_equal(load_mask(path), np.rot90(square(), -1))


def test_unknown_rule_and_unreadable_mask(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nonzero, zero, green"):
        load_mask(tmp_path / "m.png", "bright")  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="no such file"):
        load_mask(tmp_path / "m.png")


@pytest.mark.shared_data
def test_casia_photos_and_masks_load_at_one_size() -> None:
    if not CASIA.is_dir():
        pytest.skip(f"no development data at {CASIA}")
    with open(CASIA / "manifest.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["mask"]][::25]
    for row in rows:
        mask = load_mask(CASIA / row["mask"])
        assert mask.shape == load_photo(CASIA / row["path"]).upright_size
        assert 0 < mask.mean() < 0.9


def test_resize_pixels_averages_what_shrinks_and_interpolates_what_grows() -> None:
    pixels = smooth()
    assert resize_pixels(pixels, (40, 60)) is pixels
    halves = pixels.reshape(20, 2, 30, 2, 3).mean(axis=(1, 3))
    assert np.abs(resize_pixels(pixels, (20, 30)) - halves).max() <= 0.5
    row = np.array([[[0], [100]]], np.uint8).repeat(3, 2)
    assert resize_pixels(row, (1, 4))[0, :, 0].tolist() == [0, 25, 75, 100]
    stripes = np.tile(np.array([0, 200], np.uint8), 30)[None, :, None].repeat(4, 0).repeat(3, 2)
    mixed = resize_pixels(stripes, (8, 10))  # shrunk sideways, grown downwards
    np.testing.assert_array_equal(mixed, 100)


def slow_bilinear(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    out = np.zeros(size)
    for y in range(size[0]):
        for x in range(size[1]):
            at = [(i + 0.5) * old / new - 0.5 for i, old, new in zip((y, x), values.shape, size, strict=True)]
            at = [min(max(a, 0), old - 1) for a, old in zip(at, values.shape, strict=True)]
            (y0, x0), (fy, fx) = (int(at[0]), int(at[1])), (at[0] % 1, at[1] % 1)
            y1, x1 = min(y0 + 1, values.shape[0] - 1), min(x0 + 1, values.shape[1] - 1)
            top = values[y0, x0] * (1 - fx) + values[y0, x1] * fx
            out[y, x] = top * (1 - fy) + (values[y1, x0] * (1 - fx) + values[y1, x1] * fx) * fy
    return out


@pytest.mark.parametrize("size", [(5, 7), (11, 3), (2, 2), (1, 9), (17, 23)])
def test_resize_map_against_loops(size: tuple[int, int]) -> None:
    values = np.random.default_rng(3).random((5, 7))
    resized = resize_map(values, size)
    assert (resized.shape, resized.dtype) == (size, np.float32)
    np.testing.assert_allclose(resized, slow_bilinear(values, size), atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1, width=32))
def test_resize_map_never_leaves_its_range(h: int, w: int, height: int, width: int, top: float) -> None:
    values = np.random.default_rng(h * w).random((h, w)).astype(np.float32) * np.float32(top)
    resized = resize_map(values, (height, width))
    assert values.min() <= resized.min()
    assert resized.max() <= values.max()


@pytest.mark.parametrize("size", [(0, 5), (5, -1)])
def test_sizes_below_one_are_refused(size: tuple[int, int]) -> None:
    for resize in (resize_pixels, resize_map):
        with pytest.raises(ValueError, match="at least 1"):
            resize(smooth()[..., 0], size)


@pytest.mark.parametrize(("subsampling", "code"), [("4:4:4", 0), ("4:2:2", 1), ("4:2:0", 2)])
def test_jpeg_has_the_asked_subsampling_and_quality(subsampling: str, code: int) -> None:
    with Image.open(io.BytesIO(encode_jpeg(smooth(), 80, subsampling=subsampling))) as ours:
        assert JpegImagePlugin.get_sampling(ours) == code
        with Image.open(io.BytesIO(encoded(smooth(), "JPEG", quality=80))) as reference:
            assert ours.quantization == reference.quantization


def test_resave_is_encode_then_load_and_quality_orders_the_error() -> None:
    errors = [np.abs(resave_jpeg(smooth(), quality).astype(int) - smooth()).mean() for quality in (10, 50, 95)]
    assert errors == sorted(errors, reverse=True)
    np.testing.assert_array_equal(resave_jpeg(smooth(), 50), load_photo(encode_jpeg(smooth(), 50)).pixels)


def test_jpeg_arguments_are_checked() -> None:
    for quality in (0, 101):
        with pytest.raises(ValueError, match="quality must be"):
            encode_jpeg(smooth(), quality)
    with pytest.raises(ValueError, match="4:2:0"):
        encode_jpeg(smooth(), 80, subsampling="4:1:1")  # type: ignore[arg-type]


def test_upright_turns_a_patch_grid_too() -> None:
    photo = Photo(smooth(), 8, "photo.jpg")
    grid = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(photo.upright(grid), np.rot90(grid))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (40, 104), (64, 64), (136, 24)])
@pytest.mark.parametrize(("tile", "halo"), [(32, 8), (64, 16), (1024, 32), (8, 0)])
def test_tiles_keep_every_pixel_once_and_look_around_as_far_as_the_picture_goes(
    height: int, width: int, tile: int, halo: int
) -> None:
    kept, picture = np.zeros((height, width), int), np.arange(height * width).reshape(height, width)
    rows = tile_rows(height, width, tile=tile, halo=halo)
    for part in itertools.chain.from_iterable(rows):
        kept[part.kept] += 1
        for outer, inner, length in zip(part.outer, part.kept, (height, width), strict=True):
            assert (outer.start, outer.stop) == (max(0, inner.start - halo), min(length, inner.stop + halo))
            assert inner.stop - inner.start <= tile
        np.testing.assert_array_equal(picture[part.outer][part.inner(1)], picture[part.kept])
        cells = picture[::8, ::8][tuple(slice(side.start // 8, side.stop // 8) for side in part.outer)]
        expected = picture[::8, ::8][tuple(slice(side.start // 8, side.stop // 8) for side in part.kept)]
        np.testing.assert_array_equal(cells[part.inner(8)], expected)
    assert (kept == 1).all()
    pieced = np.concatenate([np.concatenate([picture[part.kept] for part in row], axis=1) for row in rows])
    np.testing.assert_array_equal(pieced, picture)  # rows of tiles, from the upper left
