"""``vilaco calibrate`` as a person meets it."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from pictures import make_photo
from vilaco.cli.calibrate import calibrate
from vilaco.errors import ConfigError, DataError
from vilaco.localizer import Localizer
from vilaco.runtimes import RuntimeOutput

app = typer.Typer()
app.command()(calibrate)


class Alternating:
    """Scores the 19 forgeries, which come first, higher."""

    reads_pixels = False
    image_size, fingerprint, encoder_name, calibration, calls = 8, "0" * 64, "none", None, 0

    def __call__(self, views: np.ndarray, pixels: Sequence[np.ndarray]) -> RuntimeOutput:
        self.calls += 1
        score = np.float32(0.7 if self.calls <= 19 else 0.3)
        return RuntimeOutput(np.array([score]), np.zeros((1, 8, 8), np.float32))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index in range(19):
        cv2.imwrite(str(folder / f"{index:02d}.png"), make_photo(np.random.default_rng(index), 96, 128))
    return folder


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Localizer, "load", classmethod(lambda cls, name: cls(Alternating(), name="fake")))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.usefixtures("fake")
def test_a_model_is_calibrated_checked_and_written(photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "calibrated"
    result = run(tiny_model, "--authentic", photos, "--check", f"{photos}/0*.png", "--out", out)
    assert result.exit_code == 0, result.output
    assert "calibrated on 19 authentic pictures and 19 forgeries" in result.stdout
    assert "of the forgeries 100% are above the first, 0% below the second" in result.stdout
    rows = [line for line in result.stdout.splitlines() if "of 10 authentic photos" in line]
    assert [line[2:16].strip() for line in rows] == ["as stored", "JPEG 80", "0.75x", "0.75x, JPEG 80"]
    assert (out / "config.json").is_file()


@pytest.mark.usefixtures("fake")
def test_a_broken_photo_is_named_and_gives_code_3(photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    frames = [Image.fromarray(make_photo(np.random.default_rng(seed), 96, 128)) for seed in (90, 91)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    result = run(
        *(tiny_model, "--authentic", photos, "--authentic", tmp_path / "broken.png"),
        *("--authentic", tmp_path / "moving.gif", "--check", tmp_path / "moving.gif", "--out", tmp_path / "out"),
    )
    assert result.exit_code == 3, result.output
    assert "broken.png" in result.stderr
    noted = [line for line in result.stderr.splitlines() if "otherwise than stored" in line]
    line = f"1 photo was read otherwise than stored: one page of several (1); the first is {tmp_path / 'moving.gif'}"
    assert noted == [line, line]  # of those it is calibrated on, and of those it is checked on
    assert (tmp_path / "out/config.json").is_file()


@pytest.mark.usefixtures("fake")
def test_wrong_use_gets_one_clear_line_and_writes_nothing(photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    few = run(tiny_model, "--authentic", f"{photos}/0*.png", "--out", tmp_path / "out")
    assert isinstance(few.exception, ConfigError)
    assert "max_false_alarms=0.05 cannot be promised" in str(few.exception)
    assert "10 authentic pictures" in str(few.exception)
    assert not (tmp_path / "out").exists()
    (tmp_path / "note.txt").touch()
    filled = run(tiny_model, "--authentic", photos, "--out", tmp_path)
    assert isinstance(filled.exception, DataError)
    assert "not an empty folder" in str(filled.exception)


def test_help_states_the_guarantee_and_an_example() -> None:
    words = " ".join(run("--help").stdout.split())
    for part in ("vilaco calibrate", "conformal", "on average", "photos like those given"):
        assert part in words
