"""Our own models as a predictor, judged on the same path as everybody's."""

import json
from pathlib import Path

from vilaco.evaluation.prediction import Prediction
from vilaco.evaluation.results import Provenance
from vilaco.images import Photo
from vilaco.localizer import Localizer


class LocalizerPredictor:
    """A :class:`~vilaco.evaluation.prediction.Predictor` that asks a :class:`~vilaco.localizer.Localizer`.

    Args:
        localizer: A loaded model; its map, detection score and decision threshold are taken as
            users get them.
    """

    def __init__(self, localizer: Localizer) -> None:
        self.name = localizer.name
        self._localizer = localizer

    def __call__(self, photo: Photo) -> Prediction:
        """Judge a photo."""
        result = self._localizer.predict(photo)
        return Prediction(result.localization_map, result.detection_score, result.decision_threshold)


def model_provenance(localizer: Localizer, folder: Path) -> Provenance:
    """What every figure of a model depends on: its encoder, its weights and their seed, and whether it is calibrated.

    Args:
        localizer: The loaded model.
        folder: Its folder, whose ``config.json`` keeps the recipe.
    """
    trained_with = json.loads((folder / "config.json").read_bytes()).get("trained_with", {})
    return Provenance(
        encoder=localizer.encoder_name,
        weights=localizer.fingerprint,
        image_score="the model's detection score" + (", calibrated" if localizer.calibration else ""),
        training_seed=trained_with.get("recipe", {}).get("training", {}).get("seed"),
    )
