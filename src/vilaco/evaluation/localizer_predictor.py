"""Our own models as a predictor, judged on the same path as everybody's."""

from vilaco.evaluation.prediction import Prediction
from vilaco.images import Photo
from vilaco.localizer import Localizer


class LocalizerPredictor:
    """A :class:`~vilaco.evaluation.prediction.Predictor` that asks a :class:`~vilaco.localizer.Localizer`.

    Args:
        localizer: A loaded model; its map and detection score are taken as users get them.
    """

    def __init__(self, localizer: Localizer) -> None:
        self.name = localizer.name
        self._localizer = localizer

    def __call__(self, photo: Photo) -> Prediction:
        """Judge a photo."""
        result = self._localizer.predict(photo)
        return Prediction(result.localization_map, result.detection_score)
