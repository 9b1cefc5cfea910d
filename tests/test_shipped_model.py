"""The shipped model's stored answers on the example photos; remade by ``python examples/demo.py``."""

from pathlib import Path

import pytest

from vilaco.localizer import Localizer

PHOTOS = Path(__file__).parents[1] / "examples/photos"
SCORES = {
    "authentic/china.jpg": 0.3062,
    "authentic/coffee.jpg": 0.5663,
    "authentic/rocket.jpg": 0.3925,
    "tampered/blue_eyes.jpg": 0.6268,
    "tampered/dahlia_on_saucer.jpg": 0.5499,
    "tampered/no_mission_patch.jpg": 0.3046,
    "tampered/rocket_by_the_lake.jpg": 0.3071,
    "tampered/two_dahlias.jpg": 0.5713,
    "tampered/two_rockets.jpg": 0.6885,
}


@pytest.fixture(scope="module")
def localizer() -> Localizer:
    return Localizer.load("research")


@pytest.mark.parametrize("name", SCORES)
def test_stored_scores(localizer: Localizer, name: str) -> None:
    assert localizer(PHOTOS / name).detection_score == pytest.approx(SCORES[name], abs=2e-3)
