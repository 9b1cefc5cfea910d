"""What a prediction may be."""

import numpy as np
import pytest

from vilaco.evaluation.prediction import Prediction


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 2)),
        np.zeros((2, 2, 1), np.float32),
        np.zeros((0, 2), np.float32),
        np.full((2, 2), 1.01, np.float32),
        np.array([[0.0, np.nan]], np.float32),
    ],
)
def test_maps_of_another_kind_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="localization_map must"):
        Prediction(wrong, 0.5)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_scores_off_the_scale_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="detection_score"):
        Prediction(np.zeros((1, 1), np.float32), wrong)
