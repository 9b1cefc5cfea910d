"""The shipped models' stored answers on the example photos; remade by ``vilaco detect examples/photos --json``."""

from pathlib import Path

import pytest

from vilaco.localizer import Localizer

PHOTOS = Path(__file__).parents[1] / "examples/photos"
NAMES = (
    "authentic/china.jpg",
    "authentic/coffee.jpg",
    "authentic/rocket.jpg",
    "tampered/blue_eyes.jpg",
    "tampered/dahlia_on_saucer.jpg",
    "tampered/no_mission_patch.jpg",
    "tampered/rocket_by_the_lake.jpg",
    "tampered/two_dahlias.jpg",
    "tampered/two_rockets.jpg",
)
VERDICTS = {"free": "ncncccccc", "research": "ctntnnctn"}
"""First letters: nothing found, cannot tell, tampered."""
SCORES = {
    "free": (0.261, 0.328, 0.262, 0.468, 0.310, 0.281, 0.353, 0.574, 0.480),
    "research": (0.4716, 0.7956, 0.2703, 0.8669, 0.2715, 0.2067, 0.5220, 0.8153, 0.4567),
}


@pytest.mark.parametrize("model", SCORES)
def test_stored_scores(model: str) -> None:
    localizer = Localizer.load(model)
    results = [localizer(PHOTOS / name) for name in NAMES]
    assert [result.detection_score for result in results] == pytest.approx(SCORES[model], abs=2e-3)
    assert "".join(result.verdict[0] for result in results) == VERDICTS[model]  # what the cards say
