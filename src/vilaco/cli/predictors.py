"""What is judged, and on what: a predictor from the options that name it, and what reports call the data set."""

from pathlib import Path
from typing import TYPE_CHECKING

from vilaco.cli import console

if TYPE_CHECKING:
    from vilaco.evaluation.prediction import Predictor
    from vilaco.evaluation.results import Provenance


def require_one(**judges: object) -> None:
    """Refuse anything but one of several options; the names are those of the options.

    Raises:
        ConfigError: If not exactly one is given.
    """
    from vilaco.errors import ConfigError

    given = [f"--{name}" for name, value in judges.items() if value is not None]
    if len(given) != 1:
        options = ", ".join(f"--{name}" for name in judges)
        raise ConfigError(f"give one of {options}; got {' and '.join(given) or 'none'}")


def load_predictor(model: str | None, baseline: str | None) -> "tuple[Predictor, Provenance]":
    """Load a model or build a baseline; one of the two is given.

    Raises:
        ConfigError: If there is no baseline of that name, or the packages that models need are missing.
        ModelError: If the model cannot be loaded.
    """
    from vilaco.evaluation.results import Provenance

    if baseline is not None:
        from vilaco.evaluation.baselines import get_baseline

        return get_baseline(baseline), Provenance(image_score="the baseline's own")
    console.require("train", "torch", "transformers")
    from vilaco.evaluation.localizer_predictor import LocalizerPredictor, model_provenance
    from vilaco.localizer import Localizer
    from vilaco.weights import find_model

    assert model is not None
    localizer = Localizer.load(model)
    return LocalizerPredictor(localizer), model_provenance(localizer, find_model(model).folder)


def data_name(data: Path) -> str:
    """What a report calls a data set: its folder, also where a ``manifest.csv`` inside it was given."""
    path = data.resolve()
    return path.parent.name if path.name == "manifest.csv" else path.stem
