import contextlib
import io
import os
import struct
import sys
import threading
import time
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from pictures import chunk, encoded, png, smooth
from vilaco import decoding
from vilaco.errors import ImageError
from vilaco.images import encode_jpeg, load_photo


def mean_error(pixels: np.ndarray, expected: np.ndarray) -> float:
    assert pixels.shape == expected.shape
    return float(np.abs(pixels.astype(int) - expected).mean())


def refusal(source: str | Path | bytes | np.ndarray, **options: int) -> ImageError:
    with pytest.raises(ImageError) as caught:
        load_photo(source, **options)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("TIFF", {"compression": "tiff_adobe_deflate"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {}, 4),
        ("JPEG", {"quality": 95}, 4),
        ("JPEG", {"progressive": True, "quality": 95}, 4),
        ("MPO", {"quality": 95}, 4),
        ("GIF", {}, 6),
        ("AVIF", {}, 4),
    ],
)
def test_colour_files(kind: str, options: dict[str, object], tolerance: float) -> None:
    pixels = smooth()
    photo = load_photo(encoded(pixels, kind, **options))
    assert (photo.pixels.shape, photo.pixels.dtype, photo.orientation) == ((40, 60, 3), np.uint8, 1)
    assert photo.pixels.flags.writeable
    assert photo.pixels.flags.c_contiguous
    assert mean_error(photo.pixels, pixels) <= tolerance


def test_heic() -> None:
    heif = pytest.importorskip("pillow_heif", reason="HEIC needs the extra package pillow-heif")
    stream = io.BytesIO()
    heif.from_pillow(Image.fromarray(smooth(64, 96))).save(stream, quality=95)
    assert mean_error(load_photo(stream.getvalue()).pixels, smooth(64, 96)) <= 4


def test_heic_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    decoding._register_heif.cache_clear()
    try:
        error = refusal(struct.pack(">I", 24) + b"ftypheic" + bytes(40))
    finally:
        decoding._register_heif.cache_clear()
    assert error.code == "needs_heif"
    assert "vilaco[heif]" in error.reason


def test_extension_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "really_png.jpg").write_bytes(encoded(smooth(), "PNG"))
    photo = load_photo(tmp_path / "really_png.jpg")
    np.testing.assert_array_equal(photo.pixels, smooth())
    assert photo.source == str(tmp_path / "really_png.jpg")


def test_first_frame_of_animations_and_pages() -> None:
    first, second = Image.fromarray(smooth()), Image.new("RGB", (60, 40), "red")
    for kind, tolerance in {"GIF": 6, "PNG": 0, "TIFF": 0, "WEBP": 4}.items():
        photo = load_photo(encoded(first, kind, save_all=True, append_images=[second]))
        assert mean_error(photo.pixels, smooth()) <= tolerance, kind


def test_decoded_array_is_taken_as_it_is_and_checked() -> None:
    photo = load_photo(smooth())
    np.testing.assert_array_equal(photo.pixels, smooth())
    assert (photo.orientation, photo.source) == (1, "<array>")
    for wrong in (smooth()[..., 0], smooth().astype(np.float32), smooth()[..., :2]):
        assert refusal(wrong).code == "not_rgb_pixels"
    assert refusal(smooth()[:0]).code == "empty"
    assert refusal(smooth(), max_pixels=2399).code == "too_many_pixels"


def test_grey_and_bilevel() -> None:
    grey = smooth()[..., 0]
    np.testing.assert_array_equal(load_photo(encoded(grey, "PNG")).pixels, np.dstack([grey] * 3))
    bits = Image.fromarray(grey > 128)
    for kind in ("PNG", "TIFF", "BMP"):
        expected = np.where(grey > 128, 255, 0)[..., None].repeat(3, 2)
        np.testing.assert_array_equal(load_photo(encoded(bits, kind)).pixels, expected)


def test_palette() -> None:
    palette = Image.fromarray(smooth()).quantize(200)
    expected = np.array(palette.convert("RGB"))
    for kind in ("PNG", "GIF", "TIFF", "BMP"):
        np.testing.assert_array_equal(load_photo(encoded(palette, kind)).pixels, expected)


def test_alpha_is_laid_over_white_so_hidden_colour_stays_hidden() -> None:
    rgba = np.dstack([smooth(), np.full((40, 60), 255, np.uint8)])
    for kind, options in {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True, "exact": True}}.items():
        np.testing.assert_array_equal(load_photo(encoded(rgba, kind, **options)).pixels, smooth())
        seen = rgba.copy()
        seen[:10, :, 3] = 0
        seen[10:20, :, 3] = 128
        pixels = load_photo(encoded(seen, kind, **options)).pixels
        np.testing.assert_array_equal(pixels[:10], 255)
        half = smooth()[10:20] * (128 / 255) + 127
        assert np.abs(pixels[10:20] - half).max() <= 1
        np.testing.assert_array_equal(pixels[20:], smooth()[20:])


def test_transparency_of_palette_grey_alpha_and_key_colour() -> None:
    grey = smooth()[..., 0]
    alpha = np.where(np.arange(60) < 30, 0, 255).astype(np.uint8)[None].repeat(40, 0)
    expected = np.where(alpha > 0, grey, 255)[..., None].repeat(3, 2)
    grey_alpha = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
    np.testing.assert_array_equal(load_photo(encoded(grey_alpha, "PNG")).pixels, expected)

    indices = np.zeros((4, 4), np.uint8)
    indices[2:] = 1
    palette = Image.fromarray(indices)
    palette.putpalette([200, 0, 0, 0, 0, 200])
    for transparency in (0, b"\x00\xff"):
        pixels = load_photo(encoded(palette, "PNG", transparency=transparency)).pixels
        assert pixels[0, 0].tolist() == [255, 255, 255]
        assert pixels[3, 3].tolist() == [0, 0, 200]

    key = tuple(int(value) for value in smooth()[5, 5])
    pixels = load_photo(encoded(smooth(), "PNG", transparency=key)).pixels
    assert pixels[5, 5].tolist() == [255, 255, 255]


def sixteen_bit_ramp() -> np.ndarray:
    return np.arange(65536, dtype=np.uint16).reshape(256, 256)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_256_levels(kind: str) -> None:
    pixels = load_photo(encoded(sixteen_bit_ramp(), kind)).pixels
    np.testing.assert_array_equal(pixels, (sixteen_bit_ramp() // 256)[..., None].repeat(3, 2))


@pytest.mark.parametrize("ending", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bit_colour_scales_like_grey(ending: str, channels: int) -> None:
    ramp = sixteen_bit_ramp()
    planes = [ramp, ramp.T, 65535 - ramp, np.full_like(ramp, 65535)][:channels]  # OpenCV writes B, G, R, A
    data = cv2.imencode(ending, np.dstack(planes))[1].tobytes()
    pixels = load_photo(data).pixels
    np.testing.assert_array_equal(pixels, np.dstack([planes[2], planes[1], planes[0]]) // 256)


@pytest.mark.parametrize("factor", [256, 257])
def test_eight_bit_values_stored_in_sixteen_come_back_exactly(factor: int) -> None:
    grey = smooth()[..., 0]
    pixels = load_photo(encoded(grey.astype(np.uint16) * factor, "PNG")).pixels
    np.testing.assert_array_equal(pixels[..., 0], grey)


def test_sixteen_bit_tiff_that_pillow_would_misread_is_refused() -> None:
    tags = [
        (256, 3, 2),
        (257, 3, 1),
        (258, 3, 16),
        (262, 3, 0),
        (273, 4, 8 + 2 + 8 * 12 + 4),
        (277, 3, 1),
        (278, 3, 1),
    ]
    tags.append((279, 4, 4))
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    tiff = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + struct.pack("<HH", 0, 65535)
    assert refusal(tiff).code == "unsupported"


def test_float_and_32_bit_integers() -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    pixels = load_photo(encoded(ramp, "TIFF")).pixels
    np.testing.assert_array_equal(pixels[..., 0], np.rint(ramp * 255))
    integers = np.linspace(0, 65535, 64).astype(np.int32).reshape(8, 8)
    np.testing.assert_array_equal(load_photo(encoded(integers, "TIFF")).pixels[..., 1], integers // 256)
    for outside in (ramp * 255, ramp - 0.5, ramp * np.nan, integers * 2):
        error = refusal(encoded(outside, "TIFF"))
        assert error.code == "unsupported"
        assert "outside 0.." in error.reason


def test_cmyk_jpeg_is_inverted_as_adobe_stores_it() -> None:
    colours = {
        "red": (0, 255, 255, 0),
        "white": (0, 0, 0, 0),
        "black": (0, 0, 0, 255),
        "cyan": (255, 0, 0, 0),
    }
    for name, inks in colours.items():
        for kind in ("JPEG", "TIFF"):
            data = encoded(Image.new("CMYK", (16, 16), inks), kind)
            assert kind == "TIFF" or b"Adobe" in data
            expected = Image.new("RGB", (1, 1), name).getpixel((0, 0))
            assert np.abs(load_photo(data).pixels[8, 8].astype(int) - expected).max() <= 2, (name, kind)


def test_ycck_jpeg() -> None:
    cyan = (179, 171, 0)  # in YCbCr; the inks of red, (0, 255, 255), taken for R, G, B, are cyan
    planes = [Image.new("L", (16, 16), 255 - value) for value in (*cyan, 255)]  # Adobe stores inks inverted
    data = encoded(Image.merge("CMYK", planes), "JPEG", quality=100, subsampling=0)
    at = data.index(b"Adobe") + 11
    assert data[at] == 0  # transform 0 says CMYK, 2 says YCCK
    pixels = load_photo(data[:at] + b"\x02" + data[at + 1 :]).pixels
    assert np.abs(pixels[8, 8].astype(int) - (255, 0, 0)).max() <= 4


def test_lab_and_ycbcr_tiff() -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    picture = ImageCms.profileToProfile(Image.fromarray(smooth()), srgb, lab, outputMode="LAB")
    assert mean_error(load_photo(encoded(picture, "TIFF")).pixels, smooth()) <= 2
    picture = Image.fromarray(smooth()).convert("YCbCr")
    assert mean_error(load_photo(encoded(picture, "TIFF")).pixels, smooth()) <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_upright_is_what_pillow_shows_and_pixels_stay_as_stored(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(smooth(), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    photo = load_photo(data)
    assert photo.orientation == orientation
    assert photo.pixels.shape == (40, 60, 3)
    assert mean_error(photo.pixels, smooth()) <= (6 if kind == "JPEG" else 0)
    with Image.open(io.BytesIO(data)) as picture:
        shown = np.array(ImageOps.exif_transpose(picture))
    upright = photo.upright(photo.pixels)
    np.testing.assert_array_equal(upright, shown)
    assert upright.flags.c_contiguous
    assert photo.upright_size == shown.shape[:2]
    np.testing.assert_array_equal(photo.upright(photo.pixels[..., 0]), shown[..., 0])


def test_broken_or_senseless_metadata_leaves_the_photo_as_it_is() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    for options in ({"exif": exif}, {"exif": b"Exif\0\0II*\0\xff\xff\xff\xffjunk"}, {"icc_profile": b"junk"}):
        for kind in ("JPEG", "PNG", "WEBP"):
            photo = load_photo(encoded(smooth(), kind, **options))
            assert (photo.orientation, photo.pixels.shape) == (1, (40, 60, 3))
    assert load_photo(png(8, 8, extra=chunk(b"iCCP", b"name\0\0not zlib"))).pixels.shape == (8, 8, 3)


def test_pixel_limit_is_checked_before_decoding_and_names_both_numbers() -> None:
    error = refusal(png(12_000, 12_000, pixels=b""))
    assert error.code == "too_many_pixels"
    assert "12000 x 12000 = 144,000,000 pixels, over the limit of 100,000,000" in error.reason
    assert refusal(png(2**31 - 1, 2**31 - 1, pixels=b"")).code == "too_many_pixels"
    assert refusal(png(10, 10), max_pixels=99).code == "too_many_pixels"
    assert load_photo(png(10, 10), max_pixels=100).pixels.shape == (10, 10, 3)


def test_own_limit_replaces_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # so that 10 x 10 is a bomb to Pillow
    assert load_photo(png(10, 10)).pixels.shape == (10, 10, 3)
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_png_metadata_bomb(kind: bytes) -> None:
    bomb = chunk(kind, b"name\0\0" + zlib.compress(bytes(80_000_000)))
    assert refusal(png(8, 8, extra=bomb)).code == "bomb"


def test_jpeg_scan_bomb_and_what_only_looks_like_one() -> None:
    photo = encoded(smooth(), "JPEG", progressive=True)
    last = photo[photo.rindex(b"\xff\xda") : -2]
    assert load_photo(photo[:-2] + last * 90 + photo[-2:]).pixels.shape == (40, 60, 3)
    assert refusal(photo[:-2] + last * 100 + photo[-2:]).code == "bomb"
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + 400) + b"\xff\xda\0\2" * 100  # in the metadata
    film = b"\xff\xda\0\2" * 500  # behind the photo, as phones store moving ones
    assert load_photo(photo[:2] + thumbnail + photo[2:] + film).pixels.shape == (40, 60, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "AVIF"])
def test_files_cut_short_are_refused(kind: str) -> None:
    data = encoded(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8), kind)
    for length in (30, len(data) // 2, len(data) * 9 // 10):
        assert refusal(data[:length]).code in {"truncated", "corrupt"}


def test_a_webp_file_cut_short_is_said_to_be_so() -> None:
    data = encoded(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8), "WEBP")
    for length in (len(data) // 2, len(data) - 1):
        cut = refusal(data[:length])
        assert (cut.code, cut.reason) == (
            "truncated",
            "the file ends too early, and of a WebP file no part can be judged",
        )
    damaged = bytearray(data)
    damaged[20:60] = bytes(40)
    assert refusal(bytes(damaged)).code == "corrupt"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF"])
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_damage_gives_a_photo_or_an_image_error(kind: str, data: st.DataObject) -> None:
    broken = bytearray(encoded(smooth(16, 16), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ImageError):
        assert load_photo(bytes(broken), max_pixels=1_000_000).pixels.ndim == 3


def test_what_is_no_image_is_told_so(tmp_path: Path) -> None:
    assert refusal(b"").code == "empty"
    assert refusal(b"just some text that goes on").code == "not_an_image"
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"
    assert refusal(postscript).code == "not_an_image"  # Pillow would call Ghostscript
    (tmp_path / "zero.jpg").write_bytes(b"")
    assert refusal(tmp_path / "zero.jpg").code == "empty"
    assert refusal(tmp_path).code == "not_a_file"
    assert refusal(tmp_path / "nowhere.jpg").code == "not_found"
    assert refusal("a\0b.jpg").code == "unreadable"
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    assert refusal(tmp_path / "loop.jpg").code == "unreadable"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.timeout(10)
def test_named_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert refusal(tmp_path / "pipe.jpg").code == "not_a_file"


def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(encoded(smooth(), "JPEG"))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    assert refusal(path).code == "unreadable"


def test_warning_filters_and_pillows_limit_survive_threads() -> None:
    filters, limit = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    data = encoded(smooth(300, 300), "JPEG")
    failures: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(20):
                load_photo(data)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert list(warnings.filters) == filters
    assert limit == Image.MAX_IMAGE_PIXELS


def test_small_jpeg_loads_fast(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(encode_jpeg(smooth(256, 384), 90))
    load_photo(tmp_path / "photo.jpg")
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        load_photo(tmp_path / "photo.jpg")
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.005
