"""What is judged is the photo: pages, previews, raw files, transparency, blank pictures, files that end too early."""

import contextlib
import io
import re
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pictures import (
    Tags,
    bmp_with_alpha,
    encoded,
    make_textured,
    mpo,
    smooth,
    tiff,
    tiff_with_folder_first,
    with_segment,
)
from scan_runs import rows_of, run_cli
from vilaco.colours import to_rgb
from vilaco.errors import ImageError
from vilaco.images import Photo, count_pages, encode_jpeg, is_blank, load_mask, load_photo
from vilaco.localizer import Localizer
from vilaco.result import NOTHING_TO_JUDGE

TEXTURED = make_textured(np.random.default_rng(0))


SMALL, FULL, OTHER = smooth(10, 15), smooth(40, 60), 255 - smooth(40, 60)
PREVIEW: Tags = {254: (1,)}


def same(photo: Photo, pixels: np.ndarray) -> bool:
    return photo.pixels.shape == pixels.shape and bool((photo.pixels == pixels).all())


@pytest.mark.parametrize("big", [False, True])
def test_a_preview_in_front_of_a_tiff_is_passed_over(big: bool) -> None:
    data = tiff((SMALL, PREVIEW, ()), (FULL, {254: (0,)}, ()), big=big)
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (15, 10)  # what Pillow shows
    photo = load_photo(data)
    assert same(photo, FULL)
    assert (photo.page, photo.pages) == (1, 1)
    assert photo.notes == ("a smaller preview in the file was passed over",)


@pytest.mark.parametrize(
    "data",
    [
        tiff((SMALL, PREVIEW, [(FULL, {254: (0,)}), (SMALL, PREVIEW)])),
        tiff((SMALL, {255: (2,)}, ()), (FULL, {255: (1,)}, ())),
        tiff((FULL, {}, [(SMALL, PREVIEW)])),
        tiff((FULL, {}, ()), (SMALL, PREVIEW, ()), (SMALL, {254: (4,)}, ())),
    ],
    ids=["the photo below the preview", "the older tag", "the preview below the photo", "preview and mask behind"],
)
def test_the_full_picture_is_judged_wherever_previews_stand(data: bytes) -> None:
    photo = load_photo(data)
    assert same(photo, FULL)
    assert photo.pages == 1


def test_pages_are_chosen_by_number_and_previews_are_none() -> None:
    data = tiff((SMALL, PREVIEW, ()), (FULL, {}, ()), (SMALL, PREVIEW, ()), (OTHER, {254: (2,)}, ()))
    assert count_pages(data) == 2
    assert same(load_photo(data), FULL)
    second = load_photo(data, page=2)
    assert same(second, OTHER)
    assert second.notes == ("page 2 of 2",)
    with pytest.raises(ImageError, match="has 2 pages, and page 3 was asked for") as caught:
        load_photo(data, page=3)
    assert caught.value.code == "no_such_page"


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_frames_and_pages_of_every_format(kind: str) -> None:
    first, second = Image.fromarray(smooth()), Image.fromarray(smooth()).rotate(180)
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "MPO" else {}
    data = encoded(first, kind, save_all=True, append_images=[second], **options)
    photo, other = load_photo(data), load_photo(data, page=2)
    assert (photo.page, photo.pages, photo.notes) == (1, 2, ("page 1 of 2",))
    assert (other.page, other.pages, other.notes) == (2, 2, ("page 2 of 2",))
    assert np.abs(other.pixels.astype(int) - np.array(second)).mean() < 8
    assert np.abs(photo.pixels.astype(int) - np.array(first)).mean() < 8
    assert load_photo(data, page=1).notes == photo.notes
    assert load_photo(encoded(first, kind, **options)).pages == 1


@pytest.mark.parametrize("kind", [0x010001, 0x010002])
def test_the_large_preview_of_a_camera_is_no_page(kind: int) -> None:
    photo = load_photo(mpo(encoded(FULL, "JPEG"), encoded(SMALL, "JPEG"), kind))
    assert (photo.pixels.shape, photo.pages, photo.notes) == (FULL.shape, 1, ())


@pytest.mark.parametrize(
    "mark",
    [b"http://ns.adobe.com/hdr-gain-map/1.0/", b"http://ns.apple.com/HDRGainMap/1.0/", b"urn:iso:std:iso:ts:21496:-1"],
)
def test_the_brightness_map_of_a_phone_is_no_page(mark: bytes) -> None:
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>" + mark
    data = mpo(encoded(FULL, "JPEG"), with_segment(encoded(SMALL, "JPEG"), xmp), 0)
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.n_frames == 2  # what Pillow counts
    assert load_photo(data).pages == 1
    with pytest.raises(ImageError, match="has one page, and page 2 was asked for"):
        load_photo(data, page=2)
    other = load_photo(mpo(encoded(FULL, "JPEG"), encoded(SMALL, "JPEG"), 0x020003), page=2)
    assert (other.pixels.shape, other.notes) == (SMALL.shape, ("page 2 of 2",))


def test_avif_of_ten_bits_says_that_eight_are_judged() -> None:
    deep = smooth(64, 96).astype(np.uint16) * 4
    done, data = cv2.imencode(".avif", deep, [cv2.IMWRITE_AVIF_DEPTH, 10])
    assert done
    assert load_photo(data.tobytes()).notes == ("more than 8 bits a channel were reduced to the upper 8",)
    assert load_photo(encoded(smooth(64, 96), "AVIF")).notes == ()


@pytest.mark.timeout(20)
def test_the_size_is_checked_before_the_frames_that_a_later_one_is_made_of() -> None:
    first = Image.fromarray(smooth())
    data = bytearray(encoded(first, "GIF", save_all=True, append_images=[first.rotate(180)]))
    data[6:10] = struct.pack("<HH", 60_000, 60_000)
    with pytest.raises(ImageError) as caught:
        load_photo(bytes(data), page=2)
    assert caught.value.code == "too_many_pixels"


def test_heic_of_two_pictures() -> None:
    heif = pytest.importorskip("pillow_heif", reason="HEIC needs the extra package pillow-heif")
    file = heif.HeifFile()
    for pixels in (smooth(64, 96), 255 - smooth(64, 96)):
        file.add_from_pillow(Image.fromarray(pixels))
    stream = io.BytesIO()
    file.save(stream, quality=95)
    assert count_pages(stream.getvalue()) == 2
    assert np.abs(load_photo(stream.getvalue(), page=2).pixels - (255.0 - smooth(64, 96))).mean() < 8


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (tiff((SMALL, {254: (1,), 50706: (1,)}, [(FULL, {262: (32803,)})])), "DNG"),
        (tiff((SMALL, PREVIEW, [(FULL, {259: (34713,), 262: (32803,)})])), "NEF"),
        (tiff((SMALL, PREVIEW, [(FULL, {259: (32767,), 262: (32803,)})])), "ARW"),
        (tiff((FULL, {259: (65535,), 262: (32803,)}, ())), "PEF"),
        (tiff((SMALL, PREVIEW, ()), (FULL, {262: (34892,)}, ())), "camera raw"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(99), "CR2"),
        (struct.pack(">I", 24) + b"ftypcrx " + bytes(99), "CR3"),
        (b"IIRO\x08\0\0\0" + bytes(99), "ORF"),
        (b"IIU\0\x18\0\0\0" + bytes(99), "RW2"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(99), "RAF"),
    ],
)
def test_camera_raw_is_refused_by_content_and_says_what_to_do(data: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(data)
    with pytest.raises(ImageError, match=f"raw file \\({kind}\\).*export it as JPEG or TIFF") as caught:
        load_photo(tmp_path / "photo.jpg")
    assert caught.value.code == "camera_raw"


@pytest.mark.timeout(20)
def test_folders_without_an_end_or_a_place_cost_no_time() -> None:
    loop = bytearray(tiff((FULL, {}, ()), (OTHER, {}, ())))
    struct.pack_into("<I", loop, len(loop) - 4, struct.unpack_from("<I", loop, 4)[0])
    assert load_photo(bytes(loop)).pages == 2
    for data in (
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"II+\0\x08\0\0\0" + b"\xff" * 8,
        b"MM\0*\0\0\0\x08\xff\xff" + b"\1" * 99,
    ):
        with pytest.raises(ImageError) as caught:
            load_photo(data)
        assert caught.value.code == "corrupt"


def test_alpha_that_hides_everything_is_none() -> None:
    rgba = np.dstack([smooth(), np.zeros((40, 60), np.uint8)])
    bmp = bmp_with_alpha(rgba)
    with Image.open(io.BytesIO(bmp)) as picture:
        assert picture.mode == "RGBA"
    for data in (bmp, encoded(rgba, "PNG"), encoded(rgba, "TIFF"), encoded(rgba, "WEBP", lossless=True, exact=True)):
        photo = load_photo(data)
        assert same(photo, smooth())
        assert photo.notes == ("its transparency hides every pixel, so it was taken for no transparency",)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (encoded(np.dstack([smooth(), np.full((40, 60), 128, np.uint8)]), "PNG"), "laid over white"),
        (encoded(Image.fromarray(smooth()).convert("CMYK"), "JPEG"), "CMYK inks were turned into RGB"),
        (encoded(np.linspace(0, 1, 2400, dtype=np.float32).reshape(40, 60), "TIFF"), "float pixels were taken for"),
        (encoded(np.arange(2400, dtype=np.int32).reshape(40, 60) * 20, "TIFF"), "32-bit pixels were taken for"),
        (encoded(np.arange(2400, dtype=np.uint16).reshape(40, 60) * 20, "PNG"), "more than 8 bits a channel were"),
    ],
)
def test_what_is_judged_otherwise_than_stored_is_said(data: bytes, said: str) -> None:
    (note,) = load_photo(data).notes
    assert said in note


def test_plain_photos_have_no_notes() -> None:
    grey = Image.fromarray(smooth()).convert("L")
    opaque = Image.fromarray(np.dstack([smooth(), np.full((40, 60), 255, np.uint8)]))
    for picture in (Image.fromarray(smooth()), grey, grey.convert("1"), grey.convert("P"), opaque):
        assert load_photo(encoded(picture, "PNG")).notes == ()
    assert load_photo(encoded(smooth(), "JPEG", progressive=True)).notes == ()


@pytest.mark.parametrize(
    ("pixels", "blank"),
    [
        (np.full((300, 400, 3), 255, np.uint8), True),
        (np.random.default_rng(0).integers(120, 129, (300, 400, 3), dtype=np.uint8), True),  # a camera's black frame
        (smooth(), False),
        (np.zeros((1, 1, 3), np.uint8), True),
    ],
)
def test_blank(pixels: np.ndarray, blank: bool) -> None:
    assert is_blank(pixels) is blank
    dusty = pixels.copy()
    dusty[: dusty.shape[0] // 300, :40] = 7  # 40 of 120,000 pixels
    assert is_blank(dusty) is blank
    written = pixels.copy()
    written[::10, ::5] = 255 - written[::10, ::5]  # a page with text has more
    assert is_blank(written) is False or written.size == 3


@pytest.fixture(scope="module")
def localizer(tiny_model: Path) -> Localizer:
    return Localizer.load(tiny_model)


def test_a_blank_picture_gets_no_verdict(localizer: Localizer) -> None:
    result = localizer(np.full((64, 96, 3), 250, np.uint8))
    assert (result.verdict, result.label, result.regions, result.is_blank) == ("cannot tell", 0, (), True)
    assert result.notes == (NOTHING_TO_JUDGE,)
    assert not result.localization_map.any()
    assert result.to_row().is_blank


CUT = {"baseline": {}, "progressive": {"progressive": True}, "restarts": {"restart_marker_rows": 1}}


@pytest.mark.parametrize("options", CUT.values(), ids=CUT)
def test_a_jpeg_without_its_end_is_whole(options: dict[str, object]) -> None:
    data = encoded(TEXTURED, "JPEG", quality=90, **options)
    whole = load_photo(data)
    for missing in (1, 2):
        photo = load_photo(data[:-missing])
        assert same(photo, whole.pixels)
        assert (photo.rows, photo.notes) == (None, ("the file lacks its end, and nothing of the picture",))
    few = load_photo(data[:-12])
    assert few.rows is not None
    assert few.rows[0] == 0
    assert 256 - 17 <= few.rows[1] < 256
    np.testing.assert_array_equal(few.pixels[: few.rows[1]], whole.pixels[: few.rows[1]])
    assert (few.pixels[few.rows[1] :] == 128).all()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 90}),
        ("JPEG", {"restart_marker_rows": 2}),
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("GIF", {}),
        ("WEBP", {"quality": 90}),
        ("WEBP", {"lossless": True}),
        *[("TIFF", {"compression": name, "tiffinfo": {278: 8}}) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")],
    ],
)
@pytest.mark.parametrize("there", [0.3, 0.6, 0.85])
def test_of_a_cut_file_the_rows_that_are_there_can_be_had(kind: str, options: dict[str, object], there: float) -> None:
    data = encoded(TEXTURED, kind, **options)
    data = tiff_with_folder_first(data) if "compression" in options else data
    whole, cut = load_photo(data).pixels, data[: int(there * len(data))]
    with pytest.raises(ImageError, match=r"ends too early: \d+% of the picture is there") as caught:
        load_photo(cut)
    assert caught.value.code == "truncated"
    photo = load_photo(cut, accept_truncated=True)
    assert photo.rows is not None
    start, stop = photo.rows
    if kind == "WEBP":  # where what is known of all blocks stands in front
        assert there / 4 < (stop - start) / 256 < there
    elif kind != "GIF":  # whose rows may be stored in turns
        assert abs((stop - start) / 256 - there) < 0.12
    np.testing.assert_array_equal(photo.pixels[start:stop], whole[start:stop])
    assert f"rows {start + 1} to {stop} of 256 were judged" in photo.notes[0]


def test_a_progressive_jpeg_cut_before_its_last_scan_has_no_rows() -> None:
    data = encoded(TEXTURED, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    for length in (len(data) // 2, last - 10):
        with pytest.raises(ImageError) as caught:
            load_photo(data[:length], accept_truncated=True)
        assert caught.value.code == "truncated"
    assert load_photo(data[: (last + len(data)) // 2], accept_truncated=True).rows is not None


def test_an_animated_webp_cut_in_a_later_frame_has_its_first() -> None:
    first, second = Image.fromarray(TEXTURED), Image.fromarray(255 - TEXTURED)
    data = encoded(first, "WEBP", save_all=True, append_images=[second], quality=90)
    whole = load_photo(data)
    photo = load_photo(data[:-2000])
    assert same(photo, whole.pixels)
    assert photo.notes == ("page 1 of 2", "the file lacks its end, and nothing of the picture")
    with pytest.raises(ImageError, match="ends too early, in page 2"):
        load_photo(data[:-2000], page=2, accept_truncated=True)
    early = load_photo(data[: len(data) // 4], accept_truncated=True)
    assert early.rows is not None
    np.testing.assert_array_equal(early.pixels[slice(*early.rows)], whole.pixels[slice(*early.rows)])


@pytest.mark.parametrize("missing", [1, 4, 12])
def test_a_png_without_its_end_is_whole_and_says_so(missing: int) -> None:
    data = encoded(TEXTURED, "PNG")
    photo = load_photo(data[:-missing])
    assert same(photo, TEXTURED)
    assert (photo.rows, photo.notes) == (None, ("the file lacks its end, and nothing of the picture",))
    assert load_photo(data + b"what somebody put behind it").notes == ()


def test_damage_is_no_cut() -> None:
    data = bytearray(encoded(TEXTURED, "PNG"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ImageError):
        load_photo(bytes(data))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "JPEG"])
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_damage_to_any_page_gives_a_photo_or_an_image_error(kind: str, data: st.DataObject) -> None:
    pages = {} if kind == "JPEG" else {"save_all": True, "append_images": [Image.fromarray(255 - smooth(16, 16))]}
    broken = bytearray(encoded(smooth(16, 16), kind, **pages))
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(broken[: data.draw(st.integers(10, len(broken)))])
    with contextlib.suppress(ImageError):
        page = 2 if count_pages(cut) > 1 and data.draw(st.booleans()) else None
        assert load_photo(cut, page=page, accept_truncated=True, max_pixels=1_000_000).pixels.ndim == 3


def test_a_frame_without_its_palette_is_damaged() -> None:
    frame = Image.fromarray(smooth(16, 16)).quantize(16)
    frame.palette = None
    with pytest.raises(ImageError, match="its palette is missing"):
        to_rgb(frame, "frame", [])


def test_masks_have_to_be_whole(tmp_path: Path) -> None:
    data = encoded(TEXTURED, "PNG")
    (tmp_path / "mask.png").write_bytes(data[:-60])
    assert load_photo(tmp_path / "mask.png").rows is not None
    with pytest.raises(ImageError, match="ends too early"):
        load_mask(tmp_path / "mask.png")


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_what_is_missing_has_no_map_and_no_say(localizer: Localizer, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(TEXTURED, "JPEG", quality=90, exif=exif)
    photo = load_photo(data[: len(data) // 2], accept_truncated=True)
    assert photo.rows is not None
    result = localizer.predict(photo)
    alone = localizer.predict(Photo(photo.pixels[: photo.rows[1]], orientation, "alone"))
    assert result.detection_score == alone.detection_score
    stored = np.zeros((256, 384), np.float32)
    stored[: photo.rows[1]] = 1
    there = photo.upright(stored) > 0
    assert not result.localization_map[~there].any()
    np.testing.assert_array_equal(result.localization_map[there], alone.localization_map.ravel())


def test_decoders_written_in_c_are_heard_once_a_file_and_never_on_the_terminal(
    tiny_model: Path, tmp_path: Path
) -> None:
    data = bytearray(encoded(Image.fromarray(TEXTURED).convert("1"), "TIFF", compression="group4"))
    for at in np.random.default_rng(1).integers(100, len(data) - 400, 30):
        data[at] ^= 255
    (tmp_path / "in").mkdir()
    (tmp_path / "in/fax.tiff").write_bytes(data)
    detect = run_cli("detect", tmp_path / "in", "--model", tiny_model, cwd=tmp_path)
    (line,) = detect.stdout.splitlines()
    assert "in/fax.tiff  (its decoder found damage: Fax4Decode: " in line
    assert re.search(r"\(and \d+ more\)\)$", line)
    assert len(detect.stderr.splitlines()) == 1
    scan = run_cli("scan", tmp_path / "in", "--model", tiny_model, "--out", tmp_path / "out", cwd=tmp_path)
    assert "Fax4" not in scan.stdout + scan.stderr
    (row,) = rows_of(tmp_path / "out")
    assert "Fax4Decode" in row["notes"][0]


def test_an_address_says_how(localizer: Localizer) -> None:
    for source in ("https://example.org/a.jpg", Path("https://example.org/a.jpg")):
        with pytest.raises(ImageError, match=r"nothing is fetched.*vilaco detect -"):
            localizer(source)


def test_the_python_call_takes_page_and_what_is_there(localizer: Localizer) -> None:
    data = tiff((TEXTURED, {}, ()), (255 - TEXTURED, {}, ()))
    assert localizer(data, page=2).notes == ("page 2 of 2",)
    cut = encode_jpeg(TEXTURED, 90)[:20_000]
    assert "were judged" in localizer(cut, accept_truncated=True).notes[0]
