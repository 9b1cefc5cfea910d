"""The method under test, from the options that name it."""

from typing import TYPE_CHECKING

from vilaco.cli import console

if TYPE_CHECKING:
    from vilaco.evaluation.prediction import Predictor
    from vilaco.evaluation.results import Provenance


def choose_predictor(model: str | None, baseline: str | None) -> "tuple[Predictor, Provenance]":
    """Load a model or build a baseline.

    Raises:
        ConfigError: If not exactly one is given, or there is no baseline of that name.
        ModelError: If the model cannot be loaded.
    """
    from vilaco.errors import ConfigError
    from vilaco.evaluation.baselines import get_baseline
    from vilaco.evaluation.results import Provenance

    if model is not None and baseline is not None:
        raise ConfigError("give one of --model and --baseline, got both")
    if baseline is not None:
        return get_baseline(baseline), Provenance(image_score="the baseline's own")
    if model is None:
        raise ConfigError("give one of --model and --baseline, got none")
    console.require("train", "torch", "transformers")
    from vilaco.evaluation.localizer_predictor import LocalizerPredictor
    from vilaco.localizer import Localizer

    localizer = Localizer.load(model)
    return LocalizerPredictor(localizer), Provenance(
        encoder=localizer.encoder_name,
        weights=localizer.fingerprint,
        image_score="the model's detection score",
    )
