"""Untrained methods in the same harness as the models: what any of them must beat.

Each file names its source, how its evidence becomes a map in [0, 1] (a fixed rule, nothing fitted to a data
set) and when it has none (a map of zeros). Unless said otherwise the image score is the mean of the map's
largest sixteenth.
"""

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial

from vilaco.errors import ConfigError
from vilaco.evaluation.baselines.adq1 import adq1_map
from vilaco.evaluation.baselines.all_ones import all_ones_map
from vilaco.evaluation.baselines.cfa1 import cfa1_map
from vilaco.evaluation.baselines.ela import ela_map, ela_score
from vilaco.evaluation.baselines.gaussian import gaussian_map, no_opinion
from vilaco.evaluation.baselines.map_baseline import MapBaseline
from vilaco.evaluation.baselines.noi1 import noi1_map
from vilaco.evaluation.prediction import Predictor


def _zero_shot() -> Predictor:
    from vilaco.evaluation.baselines.zero_shot import zero_shot

    return zero_shot()


BASELINES: dict[str, Callable[[], Predictor]] = {
    "all_ones": partial(MapBaseline, "all_ones", all_ones_map),
    "gaussian": partial(MapBaseline, "gaussian", gaussian_map, no_opinion),
    "ela": partial(MapBaseline, "ela", ela_map, ela_score),
    "noi1": partial(MapBaseline, "noi1", noi1_map),
    "cfa1": partial(MapBaseline, "cfa1", cfa1_map),
    "adq1": partial(MapBaseline, "adq1", adq1_map),
    "zero_shot": _zero_shot,
}
"""Builders by name; only ``zero_shot`` loads an encoder."""


def get_baseline(name: str) -> Predictor:
    """Build a baseline.

    Args:
        name: One of :data:`BASELINES`.

    Raises:
        ConfigError: If there is none of that name; it gives the nearest and all.

    Example:
        >>> get_baseline("ela").name
        'ela'
    """
    if name not in BASELINES:
        near = get_close_matches(name, BASELINES, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise ConfigError(f"there is no baseline '{name}'; {hint}There are {', '.join(BASELINES)}")
    return BASELINES[name]()
