"""Saved predictions of other tools: every kind of file, pairing by name, and what is refused."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from vilaco.errors import DataError, ImageError
from vilaco.evaluation.saved import SavedPredictions, read_prediction
from vilaco.files import result_stem
from vilaco.images import Photo
from vilaco.names import as_text

MAP = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)


def photo(path: Path) -> Photo:
    return Photo(np.zeros((3, 4, 3), np.uint8), 1, str(path))


def save_png(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


def test_every_kind_of_file_gives_the_same_map(tmp_path: Path) -> None:
    eight, sixteen = np.rint(MAP * 255).astype(np.uint8), np.rint(MAP * 65535).astype(np.uint16)
    save_png(tmp_path / "eight.png", eight)
    save_png(tmp_path / "colour.png", np.dstack([eight] * 3))
    save_png(tmp_path / "sixteen.png", sixteen)
    np.save(tmp_path / "double.npy", MAP.astype(np.float64))
    np.save(tmp_path / "half.npy", MAP.astype(np.float16)[None])
    np.save(tmp_path / "uint8.npy", eight)
    np.savez(tmp_path / "named.npz", map=MAP, score=np.float32(0.25), other=np.zeros(7))
    np.savez(tmp_path / "only.npz", whatever=MAP)
    for path in sorted(tmp_path.iterdir()):
        saved, score = read_prediction(path)
        assert saved.dtype == np.float32
        tolerance = 1 / 255 if path.stem in ("eight", "colour", "uint8", "half") else 1e-5
        np.testing.assert_allclose(saved, MAP, atol=tolerance, err_msg=path.name)
        assert score == (0.25 if path.stem == "named" else None)
    np.save(tmp_path / "bool.npy", MAP > 0.5)
    np.testing.assert_array_equal(read_prediction(tmp_path / "bool.npy")[0], MAP > 0.5)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (MAP * 2, "to 2"),
        (np.full((2, 2), np.nan), "without NaN"),
        (np.zeros((2, 2), int), "got int64"),
        (np.zeros((2, 2, 2), np.float32), "got shape"),
        (np.array([[0, 1], [1, 0]], np.uint8), "8-bit values of 0 and 1 alone"),
    ],
)
def test_another_scale_is_refused_not_guessed(tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ImageError, match=words) as caught:
        read_prediction(tmp_path / "a.npy")
    assert caught.value.code == "prediction_unreadable"
    np.save(tmp_path / "a.npy", np.zeros((2, 2), np.uint8))
    assert read_prediction(tmp_path / "a.npy")[0].max() == 0  # nothing found, on any scale


def test_unreadable_files_are_one_clear_error(tmp_path: Path) -> None:
    for name in ("a.png", "a.npy", "a.npz"):
        for content in (b"", b"nonsense"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(ImageError, match=name) as caught:
                read_prediction(tmp_path / name)
            assert "pickle" not in str(caught.value)
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ImageError, match=r"evil\.npy"):
        read_prediction(tmp_path / "evil.npy")
    np.savez(tmp_path / "two.npz", a=MAP, b=MAP)
    with pytest.raises(ImageError, match="no array named map"):
        read_prediction(tmp_path / "two.npz")
    np.savez(tmp_path / "score.npz", map=MAP, score=3.0)
    with pytest.raises(ImageError, match="one number"):
        read_prediction(tmp_path / "score.npz")
    save_png(tmp_path / "photo.png", np.arange(27, dtype=np.uint8).reshape(3, 3, 3))
    with pytest.raises(ImageError, match="colour"):
        read_prediction(tmp_path / "photo.png")


def test_pairing_by_relative_path_then_by_a_unique_stem(tmp_path: Path) -> None:
    images = [Path(p) for p in ("/d/a/x.jpg", "/d/b/x.jpg", "/d/b/y.jpg", "/d/b/z.v2.jpg", "/d/c/w.jpg")]
    white = np.full((3, 4), 255, np.uint8)
    save_png(tmp_path / "a/x.png", white)
    save_png(tmp_path / "flat/y.png", white // 5)
    save_png(tmp_path / "b/z.v2.png", white)
    np.savez(tmp_path / "w.jpg.npz", map=MAP)
    saved = SavedPredictions(tmp_path, images, Path("/d"), name="tool")
    assert saved.name == "tool"
    assert saved(photo(images[0])).detection_score == 1
    assert saved(photo(images[2])).detection_score == pytest.approx(0.2)
    assert saved(photo(images[3])).detection_score == 1
    assert saved(photo(images[4])).localization_map.shape == (3, 4)
    with pytest.raises(ImageError, match=r"no prediction named b/x\.\*") as caught:
        saved(photo(images[1]))  # a/x.png belongs to the other x
    assert caught.value.code == "prediction_missing"


def test_files_that_no_image_asked_for_are_known(tmp_path: Path) -> None:
    for name in ("x.map.png", "x.mask.png", "other/z.png"):
        save_png(tmp_path / name, np.zeros((3, 4), np.uint8))
    saved = SavedPredictions(tmp_path, [Path("/d/x.jpg")], Path("/d"))
    assert len(saved.unused) == 3
    saved(photo(Path("/d/x.jpg")))
    assert saved.unused == [Path("other/z.png")]  # the mask beside the map that was read is of this image too


def test_what_could_mean_two_images_is_refused(tmp_path: Path) -> None:
    images = [Path("/d/x.jpg"), Path("/d/x.png"), Path("/d/y.jpg")]
    for name in ("x.png", "p/y.png", "q/y.png"):
        save_png(tmp_path / name, np.zeros((3, 4), np.uint8))
    saved = SavedPredictions(tmp_path, images, Path("/d"))
    for image in images:
        with pytest.raises(ImageError) as caught:
            saved(photo(image))
        assert caught.value.code == "prediction_ambiguous"
    save_png(tmp_path / "x.jpg.png", np.full((3, 4), 255, np.uint8))
    assert SavedPredictions(tmp_path, images, Path("/d"))(photo(images[0])).detection_score == 1


def test_output_of_vilaco_detect_is_read_with_its_scores(tmp_path: Path) -> None:
    image = Path("/data/set/sub/photo.jpg")
    save_png(tmp_path / "sub/photo.mask.png", np.full((3, 4), 255, np.uint8))
    save_png(tmp_path / "sub/photo.map.png", np.rint(MAP * 65535).astype(np.uint16))
    row = {"path": "set/sub/photo.jpg", "label": 0, "detection_score": 0.125}
    (tmp_path / "results.jsonl").write_text(json.dumps(row) + "\n")
    saved = SavedPredictions(tmp_path, [image], Path("/data/set"))
    prediction = saved(photo(image))
    np.testing.assert_allclose(prediction.localization_map, MAP, atol=1e-5)
    assert prediction.detection_score == 0.125
    assert "results.jsonl" in saved.image_score


def test_output_of_vilaco_detect_is_found_where_the_name_was_too_long(tmp_path: Path) -> None:
    image = Path("/data/set") / f"{'x' * 246}.jpg"
    stem = result_stem(Path(image.name)).name
    assert stem != image.stem
    save_png(tmp_path / f"{stem}.map.png", np.rint(MAP * 65535).astype(np.uint16))
    prediction = SavedPredictions(tmp_path, [image], Path("/data/set"))(photo(image))
    np.testing.assert_allclose(prediction.localization_map, MAP, atol=1e-5)


def test_a_name_that_is_not_utf_8_meets_its_prediction(tmp_path: Path) -> None:
    image = tmp_path / os.fsdecode(b"\xe8/caf\xe9.png")
    save_png(tmp_path / "p/a.png", np.zeros((3, 4), np.uint8)).rename(tmp_path / os.fsdecode(b"p/caf\xe9.png"))
    saved = SavedPredictions(tmp_path / "p", [image], image.parent)
    assert saved(photo(Path(as_text(image)))).detection_score == 0
    assert saved.unused == []


def test_results_of_any_name_are_read(tmp_path: Path) -> None:
    name = "a\u2028b.jpg"
    save_png(tmp_path / "a\u2028b.png", np.zeros((3, 4), np.uint8))
    row = json.dumps({"path": name, "detection_score": 0.125}, ensure_ascii=False)
    (tmp_path / "results.jsonl").write_text(row + "\n\n", encoding="utf-8")
    saved = SavedPredictions(tmp_path, [Path("/d") / name], Path("/d"))
    assert saved(photo(Path("/d") / name)).detection_score == 0.125
    (tmp_path / "results.jsonl").write_bytes(row.replace("a", "\xe9").encode("latin-1", "ignore"))
    with pytest.raises(DataError, match=r"results\.jsonl: cannot be read as UTF-8 text"):
        SavedPredictions(tmp_path, [], tmp_path)


def test_folders_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        SavedPredictions(tmp_path / "gone", [], tmp_path)
    with pytest.raises(DataError, match="holds no prediction"):
        SavedPredictions(tmp_path, [], tmp_path)
    save_png(tmp_path / "a.png", np.zeros((2, 2), np.uint8))
    for wrong in ("nonsense", '{"path": "a.jpg", "detection_score": 1.5}'):
        (tmp_path / "results.jsonl").write_text(f"{{}}\n{wrong}\n")
        with pytest.raises(DataError, match="line 2"):
            SavedPredictions(tmp_path, [], tmp_path)
