import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize

from pictures import make_photo
from vilaco.calibration import Calibration
from vilaco.errors import ConfigError, DataError
from vilaco.evaluation.calibrate import (
    MAP_SHIFTS,
    best_shift,
    calibrate,
    fit_calibration,
    fit_platt,
    pixel_f1_by_shift,
    write_calibrated,
)
from vilaco.images import load_photo
from vilaco.localizer import Localizer
from vilaco.runtimes import RuntimeOutput


class Runtime:
    """Scores the forgeries, which come first, higher; its map is everywhere 2.1 below even odds."""

    reads_pixels = False
    image_size, fingerprint, encoder_name, calibration = 8, "0" * 64, "none", None

    def __init__(self, forgeries: int) -> None:
        self.calls, self.forgeries = 0, forgeries
        self.seen: list[bytes] = []

    def __call__(self, views: np.ndarray, pixels: Sequence[np.ndarray]) -> RuntimeOutput:
        scores = []
        self.seen += [picture.tobytes() for picture in pixels]
        for picture in views:
            scores.append(0.3 + 0.2 * (self.calls < self.forgeries) + 0.2 * float(picture.mean()) / 255)
            self.calls += 1
        return RuntimeOutput(np.array(scores, np.float32), np.full((len(views), 8, 8), -2.1, np.float32))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index in range(20):
        cv2.imwrite(str(folder / f"{index:02d}.png"), make_photo(rng, 128, 160))
    return sorted(folder.iterdir())


def calibration_with(map_shift: float) -> Calibration:
    return Calibration(slope=1, offset=0, map_shift=map_shift, authentic_scores=(0.5,), tampered_scores=(0.5,))


@settings(max_examples=30, deadline=None)
@given(values=hnp.arrays(np.float32, (5, 6), elements=st.floats(0, 1, width=32)), seed=st.integers(0, 99))
def test_f1_by_shift_is_the_f1_of_each_shifted_map(values: np.ndarray, seed: int) -> None:
    mask = np.random.default_rng(seed).random((5, 6)) < 0.3
    mask[0, 0] = True
    slow = []
    for shift in MAP_SHIFTS:
        called = calibration_with(float(shift)).map(values) > 0.5
        slow.append(2 * (called & mask).sum() / (called.sum() + mask.sum()))
    near = (
        np.abs(values[..., None] - 1 / (1 + np.exp(MAP_SHIFTS))).min(axis=(0, 1)) < 1e-6
    )  # float32 may fall either way
    np.testing.assert_allclose(pixel_f1_by_shift(values, mask)[~near], np.array(slow)[~near])


def test_f1_by_shift_by_hand() -> None:
    mask = np.array([[True, True, False, False]])
    raw_map = np.array([[0.5, 0.2, 0.05, 0.0]], np.float32)  # logits 0, -1.39, -2.94, -inf
    f1 = dict(zip(MAP_SHIFTS.tolist(), pixel_f1_by_shift(raw_map, mask).tolist(), strict=True))
    assert (f1[0.0], f1[0.125], f1[1.5], f1[3.0], f1[8.0]) == (0, 2 / 3, 1, 0.8, 0.8)
    assert best_shift(np.array(list(f1.values()))) == 1.5


def test_of_equally_good_shifts_the_nearest_to_zero_is_taken() -> None:
    assert best_shift(np.ones(len(MAP_SHIFTS))) == 0
    assert best_shift((MAP_SHIFTS > 2).astype(float)) == 2.125
    assert best_shift((MAP_SHIFTS < -1).astype(float)) == -1.125


def test_platt_scaling_minimises_its_loss() -> None:
    rng = np.random.default_rng(0)
    authentic, tampered = rng.beta(2, 4, 60), rng.beta(3, 2, 150)

    def loss(parameters: np.ndarray) -> float:
        total = 0.0
        for scores, target in ((authentic, 1 / 62), (tampered, 151 / 152)):
            p = 1 / (1 + np.exp(-(parameters[0] * np.log(scores / (1 - scores)) + parameters[1])))
            total -= np.mean(target * np.log(p) + (1 - target) * np.log(1 - p))
        return total

    expected = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-14}).x
    np.testing.assert_allclose(fit_platt(authentic, tampered), expected, rtol=1e-4)


def test_platt_scaling_finds_the_odds_that_made_the_scores() -> None:
    rng = np.random.default_rng(1)  # logits from N(0, 1) and N(1, 1): the log-odds of a forgery are x - 1/2
    sigmoid = [1 / (1 + np.exp(-rng.normal(mean, 1, 200_000))) for mean in (0, 1)]
    assert fit_platt(*sigmoid) == pytest.approx((1, -0.5), abs=0.02)


def test_perfect_scores_stay_finite_and_useless_ones_are_refused() -> None:
    slope, offset = fit_platt(np.full(30, 0.0), np.full(30, 1.0))
    assert np.isfinite([slope, offset]).all()
    with pytest.raises(DataError, match=r"does not tell .* \(AUC 0\.00 on 30 \+ 20 of them\)"):
        fit_platt(np.full(30, 0.7), np.full(20, 0.3))


def test_stored_scores_are_rounded_to_the_safe_side() -> None:
    rng = np.random.default_rng(2)
    authentic, tampered = rng.beta(2, 4, 99), rng.beta(3, 2, 99)
    fitted = fit_calibration(authentic, tampered, authentic / 2, traits={}, map_shift=0.25)
    exact = [np.array([fitted.score(s) for s in np.sort(scores)]) for scores in (authentic, tampered)]
    for error in (fitted.authentic_scores - exact[0], exact[1] - fitted.tampered_scores):
        assert error.min() >= 0
        assert error.max() < 1.001e-6
    decision, cleared = fitted.thresholds()
    assert np.sum(exact[0] > decision) <= 5
    assert np.sum(exact[0] > cleared) <= 10
    rounded = fitted.authentic_regions - np.sort(authentic) / 2
    assert rounded.min() >= 0
    assert rounded.max() < 1.001e-6


def test_rates_are_refused_before_any_picture_is_made(photos: list[Path]) -> None:
    runtime = Runtime(20)
    for rates in ({"max_false_alarms": 0.01}, {"max_suspicions": 1.5}, {"max_false_alarms": 0.0}):
        with pytest.raises(ConfigError, match=next(iter(rates))):
            calibrate(Localizer(runtime, name="fake"), photos, **rates)
        with pytest.raises(ConfigError, match=next(iter(rates))):
            fit_calibration(np.full(20, 0.3), np.full(20, 0.7), np.zeros(20), traits={}, map_shift=0.0, **rates)
    assert runtime.calls == 0


def test_calibrating_on_photos_alone(photos: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    report = calibrate(Localizer(Runtime(20), name="fake"), [*photos, broken], seed=3)
    calibration = report.calibration
    assert list(report.unreadable) == [broken]
    assert len(calibration.authentic_scores) == len(calibration.tampered_scores) == 20
    assert calibration.map_shift == 2.125  # the smallest that lifts a logit of -2.1 above even odds
    assert (report.pixel_f1_raw, report.pixel_f1) == (0, pytest.approx(0.2, abs=0.15))
    assert calibration.calibrated_with["photos"] == 20
    whole = 1 / (1 + np.exp(2.1 - 2.125))  # the region of a map that is everywhere alike
    assert calibration.authentic_regions == pytest.approx([whole] * 20, abs=2e-6)
    assert calibration.score(0.35) < 0.5 < calibration.score(0.65)
    already = Localizer(Runtime(20), name="fake", calibration=calibration)
    assert calibrate(already, photos, seed=3).calibration == calibration  # the raw answers are asked for
    assert calibrate(Localizer(Runtime(20), name="fake"), photos, seed=4).calibration != calibration


def test_some_authentic_pictures_are_the_files_as_they_are(photos: list[Path]) -> None:
    runtime = Runtime(20)
    report = calibrate(Localizer(runtime, name="fake"), photos, seed=3)
    stored = [load_photo(path).pixels.tobytes() for path in photos]
    as_they_are = [picture in stored for picture in runtime.seen]
    assert not any(as_they_are[:20])
    assert 0.1 < np.mean(as_they_are[20:]) < 0.6
    assert report.calibration.traits == {}  # too few photos to tell what is unusual


def test_what_is_usual_is_kept_where_there_are_photos_enough(photos: list[Path], tmp_path: Path) -> None:
    many = [shutil.copy(photos[n % 20], tmp_path / f"{n:03d}.png") for n in range(200)]
    low, high = calibrate(Localizer(Runtime(200), name="fake"), many, seed=3).calibration.traits["side"]
    assert 64 <= low < 128 < high <= 160


def test_photos_of_which_none_can_be_read_are_refused(tmp_path: Path) -> None:
    broken = [tmp_path / f"{index:02d}.png" for index in range(20)]
    for path in broken:
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of the 20 photos can be used"):
        calibrate(Localizer(Runtime(20), name="fake"), broken)


def test_a_calibrated_copy_is_the_model_and_its_calibration(tiny_model: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "model", tmp_path / "out/calibrated"
    shutil.copytree(tiny_model, model)
    (model / "README.md").write_text("card")
    calibration = fit_calibration(
        np.linspace(0.1, 0.5, 40), np.linspace(0.3, 0.9, 40), np.zeros(40), traits={}, map_shift=0.5
    )
    write_calibrated(model, out, calibration)
    assert {path.name for path in out.iterdir()} == {"README.md", "config.json", "model.safetensors"}
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (model, out))
    assert after.pop("calibration") == json.loads(calibration.model_dump_json())
    before.pop("calibration", None)
    assert after == before
    loaded = Localizer.load(out, device="cpu")
    assert loaded.calibration == calibration
    assert loaded.fingerprint == Localizer.load(model, device="cpu").fingerprint
    with pytest.raises(DataError, match="not an empty folder"):
        write_calibrated(model, out, calibration)
    again = tmp_path / "again"
    write_calibrated(out, again, calibration.model_copy(update={"map_shift": 1.0}))
    assert Localizer.load(again, device="cpu").calibration.map_shift == 1.0
