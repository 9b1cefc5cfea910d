import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pictures import make_photo
from vilaco.calibration import Calibration
from vilaco.errors import ConfigError, ImageError, ModelError
from vilaco.images import load_photo
from vilaco.localizer import Localizer
from vilaco.method.checkpoint import load_checkpoint
from vilaco.runtimes import RuntimeOutput
from vilaco.weights import find_model, shipped_models


@pytest.fixture(scope="module")
def localizer(tiny_model: Path) -> Localizer:
    return Localizer.load(tiny_model, device="cpu")


@pytest.mark.parametrize("size", [(72, 96), (1, 1), (300, 17), (64, 64)])
def test_the_answer_has_the_photos_own_size(localizer: Localizer, size: tuple[int, int]) -> None:
    result = localizer(make_photo(np.random.default_rng(0), *size))
    assert result.localization_map.shape == result.pred_mask.shape == size
    assert result.pred_mask.dtype == bool
    assert 0 <= result.detection_score <= 1


def test_a_file_its_bytes_and_its_pixels_give_one_answer(localizer: Localizer, tmp_path: Path) -> None:
    pixels = make_photo(np.random.default_rng(1))
    file = tmp_path / "photo.png"
    cv2.imwrite(str(file), pixels[:, :, ::-1])
    results = [localizer(source) for source in (file, str(file), file.read_bytes(), pixels)]
    for result in results[1:]:
        np.testing.assert_array_equal(result.localization_map, results[0].localization_map)
        assert result.detection_score == results[0].detection_score


def test_the_map_is_the_networks_map_resized(localizer: Localizer, tiny_model: Path) -> None:
    pixels = make_photo(np.random.default_rng(2), 64, 64)
    model, fingerprint = load_checkpoint(tiny_model)
    batch = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0).float() / 255
    with torch.no_grad():
        output = model(batch)
    result = localizer(pixels)
    np.testing.assert_allclose(result.localization_map, output.mask_logits[0].sigmoid().numpy(), atol=1e-5)
    assert result.detection_score == pytest.approx(output.detection_scores.item(), abs=1e-6)
    assert result.model == f"{tiny_model.name}@{fingerprint[:12]}"


class Extreme:
    """A runtime whose logits leave what float32 can take the exponential of."""

    reads_pixels = False
    image_size, fingerprint, encoder_name, calibration = 2, "0" * 64, "none", None

    def __call__(self, views: np.ndarray, pixels: Sequence[np.ndarray]) -> RuntimeOutput:
        logits = np.array([[-200, 0], [1, 200]], np.float32)
        return RuntimeOutput(np.full(len(views), 0.5, np.float32), np.stack([logits] * len(views)))


def test_extreme_logits_become_zero_and_one_without_a_warning() -> None:
    result = Localizer(Extreme(), name="extreme")(np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20)
    np.testing.assert_allclose(result.localization_map, [[0, 0.5], [0.7310586, 1]], atol=1e-6)


CALIBRATION = Calibration(
    slope=2.0,
    offset=1.0,
    map_shift=1.5,
    authentic_scores=tuple(i / 20 for i in range(20)),
    tampered_scores=tuple(i / 20 for i in range(20)),
    max_false_alarms=0.05,
    max_misses=0.2,
)


def test_a_calibrated_answer_by_hand() -> None:
    result = Localizer(Extreme(), name="extreme", calibration=CALIBRATION)(
        np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20
    )
    np.testing.assert_allclose(result.localization_map, [[0, 0.8175745], [0.9241418, 1]], atol=1e-6)  # 0, 1 + 1.5
    assert result.detection_score == pytest.approx(0.7310586)  # the logit of 0.5 is 0, and 2 x 0 + 1
    assert (result.decision_threshold, result.authentic_threshold) == (0.95, pytest.approx(0.15, abs=1e-5))
    assert result.verdict == "cannot tell"
    often = Localizer(Extreme(), name="extreme", calibration=CALIBRATION, max_false_alarms=0.5)
    assert often(np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20).verdict == "tampered"  # above 0.5


def test_a_rate_needs_a_calibration_and_enough_pictures(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match="is not calibrated"):
        Localizer.load(tiny_model, device="cpu", max_false_alarms=0.05)
    with pytest.raises(ConfigError, match="1 in 21"):
        Localizer(Extreme(), name="extreme", calibration=CALIBRATION, max_false_alarms=0.01)


def test_a_model_folder_brings_its_calibration(localizer: Localizer, tiny_model: Path, tmp_path: Path) -> None:
    assert localizer.calibration is None
    shutil.copytree(tiny_model, tmp_path / "model")
    config = json.loads((tiny_model / "config.json").read_text())
    config["calibration"] = json.loads(CALIBRATION.model_dump_json())
    (tmp_path / "model/config.json").write_text(json.dumps(config))
    calibrated = Localizer.load(tmp_path / "model", device="cpu")
    assert calibrated.calibration == CALIBRATION
    photo = load_photo(make_photo(np.random.default_rng(7)))
    raw, result = localizer.predict(photo), calibrated.predict(photo)
    assert result.detection_score == CALIBRATION.score(raw.detection_score)
    np.testing.assert_array_equal(result.localization_map, CALIBRATION.map(raw.localization_map))
    assert result.model.split("@")[1] == raw.model.split("@")[1]  # the same weights


def test_many_photos_give_the_answers_of_each_alone_in_order(localizer: Localizer) -> None:
    rng = np.random.default_rng(3)
    photos = [load_photo(make_photo(rng, 40 + 8 * i, 50)) for i in range(5)]
    together = list(localizer.predict_many(photos, batch_size=2))
    for photo, result in zip(photos, together, strict=True):
        alone = localizer.predict(photo)
        np.testing.assert_allclose(result.localization_map, alone.localization_map, atol=1e-4)
        assert result.detection_score == pytest.approx(alone.detection_score, abs=1e-5)


def test_a_sideways_photo_is_judged_and_answered_upright(localizer: Localizer, tmp_path: Path) -> None:
    from PIL import Image

    pixels = make_photo(np.random.default_rng(4))
    upright = localizer(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90 degrees clockwise to see it upright
    file = tmp_path / "sideways.png"
    Image.fromarray(np.rot90(pixels).copy()).save(file, exif=exif)
    result = localizer(file)
    assert result.localization_map.shape == (72, 96)
    np.testing.assert_array_equal(result.localization_map, upright.localization_map)


def test_unreadable_photos_and_models_are_named(localizer: Localizer, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nothing\.jpg"):
        localizer(tmp_path / "nothing.jpg")
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        Localizer.load(tmp_path)
    with pytest.raises(ModelError, match="no such model"):
        Localizer.load("no-such-model")
    with pytest.raises(ModelError, match="the name of the model is empty"):
        Localizer.load("")
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("config.json", "model.safetensors"):
        (copy / name).write_bytes((tiny_model / name).read_bytes())
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "encoder_fingerprint": "0" * 64}))
    with pytest.raises(ModelError, match="trained on the encoder clip:"):
        Localizer.load(copy)
    (copy / "config.json").write_text(json.dumps({**config, "surprise": 1}))
    with pytest.raises(ModelError, match="surprise"):
        Localizer.load(copy)
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ModelError, match="does not fit"):
        Localizer.load(copy)


def test_shipped_models_are_found_by_name() -> None:
    assert [model.name for model in shipped_models()] == ["free", "research"]
    assert find_model().folder.joinpath("README.md").is_file()


def test_importing_vilaco_is_light() -> None:
    heavy = ("torch", "onnxruntime", "numpy", "cv2", "pydantic")
    code = f"import sys, vilaco; print([module for module in {heavy} if module in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
