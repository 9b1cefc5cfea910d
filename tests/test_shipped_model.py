"""The shipped model's stored answers on the example photos; remade by ``python examples/demo.py``."""

from pathlib import Path

import pytest

from vilaco.localizer import Localizer

PHOTOS = Path(__file__).parents[1] / "examples/photos"
SCORES = {
    "authentic/china.jpg": 0.3791,
    "authentic/coffee.jpg": 0.3649,
    "authentic/rocket.jpg": 0.7670,
    "tampered/blue_eyes.jpg": 0.5687,
    "tampered/dahlia_on_saucer.jpg": 0.3942,
    "tampered/no_mission_patch.jpg": 0.3668,
    "tampered/rocket_by_the_lake.jpg": 0.3510,
    "tampered/two_dahlias.jpg": 0.7896,
    "tampered/two_rockets.jpg": 0.7384,
}


@pytest.fixture(scope="module")
def localizer() -> Localizer:
    return Localizer.load("research")


@pytest.mark.parametrize("name", SCORES)
def test_stored_scores(localizer: Localizer, name: str) -> None:
    assert localizer(PHOTOS / name).detection_score == pytest.approx(SCORES[name], abs=2e-3)
