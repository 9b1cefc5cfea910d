from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vilaco.calibration import Calibration
from vilaco.errors import DataError
from vilaco.evaluation.verdicts import authentic_verdicts
from vilaco.localizer import Localizer
from vilaco.runtimes import RuntimeOutput


class Brightness:
    """Scores a picture by its brightness."""

    reads_pixels = False
    image_size, fingerprint, encoder_name, calibration = 16, "0" * 64, "none", None

    def __call__(self, views: np.ndarray, pixels: Sequence[np.ndarray]) -> RuntimeOutput:
        scores = views.mean(axis=(1, 2, 3), dtype=np.float32) / 255
        return RuntimeOutput(scores, np.zeros((len(views), 16, 16), np.float32))


CALIBRATION = Calibration(
    slope=1,
    offset=0,
    map_shift=0,
    authentic_scores=tuple(i / 20 for i in range(20)),  # 5%: above .95; 50%: above .5
    tampered_scores=tuple(i / 20 for i in range(20)),  # 20%: up to .15
)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Photos of two greys each, 6%, 40%, 80% and 98% bright on average; resaving and shrinking leaves them so."""
    for level in (15, 102, 204, 250):
        pixels = np.full((32, 48, 3), level + 5, np.uint8)
        pixels[:, :12] -= 20
        Image.fromarray(pixels).save(tmp_path / f"{level:03d}.png")
    return sorted(tmp_path.glob("*.png"))


@pytest.mark.parametrize(("rate", "alarms", "undecided"), [(None, 0.25, 0.5), (0.5, 0.5, 0.25)])
def test_verdicts_are_counted_in_every_state(
    photos: list[Path], rate: float | None, alarms: float, undecided: float
) -> None:
    localizer = Localizer(Brightness(), name="brightness", calibration=CALIBRATION, max_false_alarms=rate)
    report = authentic_verdicts(localizer, photos)
    assert [row.state for row in report.rows] == ["as stored", "JPEG 80", "0.75x", "0.75x, JPEG 80"]
    for row in report.rows:
        assert row.verdicts.total() == 4
        assert (row.false_alarms, row.undecided) == (alarms, undecided)


def test_noise_that_a_resave_smooths_changes_the_row_of_the_resave(tmp_path: Path) -> None:
    class Noise(Brightness):
        def __call__(self, views: np.ndarray, pixels: Sequence[np.ndarray]) -> RuntimeOutput:
            rough = np.abs(np.diff(views.astype(np.float32), axis=2)).mean(axis=(1, 2, 3)) / 255
            return RuntimeOutput(np.clip(rough * 4, 0, 1), np.zeros((len(views), 16, 16), np.float32))

    dots = np.where(np.indices((16, 16)).sum(axis=0) % 2 == 0, 90, 166).astype(np.uint8)
    Image.fromarray(np.repeat(dots[..., None], 3, axis=2)).save(tmp_path / "dots.png")
    rows = authentic_verdicts(Localizer(Noise(), name="noise"), [tmp_path / "dots.png"]).rows
    assert [row.false_alarms for row in rows] == [1, 1, 0, 0]


def test_unreadable_photos_are_named_and_the_rest_judged(photos: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    localizer = Localizer(Brightness(), name="brightness")
    report = authentic_verdicts(localizer, [*photos, broken])
    assert [row.verdicts.total() for row in report.rows] == [4] * 4
    assert [error.source for error in report.skipped] == [str(broken)]
    with pytest.raises(DataError, match=r"none of the photos can be read: .*broken\.jpg"):
        authentic_verdicts(localizer, [broken])
