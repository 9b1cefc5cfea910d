"""A verdict in words that a person can rely on, and what it does not mean."""

from dataclasses import dataclass

from vilaco.report.case import Case
from vilaco.result import NOTHING_TO_JUDGE, Region

_EVERYDAY = (
    "Crops, filters, lettering, retouching and montage are edits too. The picture cannot tell who made them, when, "
    "or what for."
)
_NOT_LOOKED_FOR = (
    "Nothing is said about whether the scene was staged, whether the caption is true, or whether the whole picture "
    "was generated or photographed from a screen."
)


@dataclass(frozen=True, slots=True)
class Words:
    """A verdict in words.

    Attributes:
        headline: In three words or so.
        meaning: What it means, and how often it is wrong.
        limits: What it does not mean, a sentence or two each.
    """

    headline: str
    meaning: tuple[str, ...]
    limits: tuple[str, ...]


def put_in_words(case: Case) -> Words:
    """The verdict of a case in words, with the rates that the model was calibrated for."""
    row, judge = case.row, case.judge
    if row.is_blank:
        return Words(
            "Nothing to judge", (f"{NOTHING_TO_JUDGE.capitalize()}. There is no verdict.",), (_NOT_LOOKED_FOR,)
        )
    if judge.max_false_alarms is None or judge.missed is None:
        return _without_promise(case)
    alarms = share(judge.max_false_alarms)
    like = f"like the {judge.calibration_pictures:,} it was calibrated on"
    on_average = (
        "The rate holds on average over such photos. Photos of another kind (another camera, a messenger's re-saves, "
        "screenshots, scans) may be misjudged more often."
    )
    if row.verdict == "tampered":
        return Words(
            "Judged tampered",
            (
                f"The score {row.detection_score:.3f} is above {row.decision_threshold:.3f}, the limit set so that at "
                f"most {alarms} of authentic photos {like} are called tampered.",
            ),
            (
                "It is not proof, and not the chance that this photo is forged: that also depends on how many of the "
                "photos you look at are forged at all.",
                on_average,
                _EVERYDAY,
                _NOT_LOOKED_FOR,
            ),
        )
    if row.verdict == "nothing found":
        as_most = f", as on most authentic photos {like}, and no region stands out" if row.region_thresholds else ""
        return Words(
            "Nothing found",
            (f"The score {row.detection_score:.3f} is not above {row.authentic_threshold:.3f}{as_most}.",),
            (
                f"It does not show that the photo is untouched: {judge.missed:.0%} of the forgeries it was tried "
                "on score no higher, and forgeries of another kind may do so more often.",
                _NOT_LOOKED_FOR,
            ),
        )
    return Words(
        "Cannot tell",
        (_why_not(case, alarms, like),),
        (
            "It is not half a suspicion. Look at the regions and the file's evidence yourself, ask for the original "
            "file, or look for other copies.",
            _EVERYDAY,
            _NOT_LOOKED_FOR,
        ),
    )


def _why_not(case: Case, alarms: str, like: str) -> str:
    """Why neither answer was given."""
    row = case.row
    accused = f"of authentic photos {like}, at most {alarms} may be called tampered"
    if row.detection_score > row.authentic_threshold:
        above, beside = f"above {row.authentic_threshold:.3f}", ""
        if row.region_thresholds:
            above = "higher than on most authentic photos"
            beside = " A region stands out as well." if row.regions else " No single region stands out."
        return (
            f"The score {row.detection_score:.3f} is {above}, but not above {row.decision_threshold:.3f}: "
            f"{accused}.{beside}"
        )
    strongest = "strong" if any(region.strength == "strong" for region in row.regions) else "weak"
    return (
        f"A region stands out ({strongest}), but the score {row.detection_score:.3f} of the whole photo speaks against "
        f"it: it is not above {row.authentic_threshold:.3f}, as on most authentic photos {like}."
    )


def _without_promise(case: Case) -> Words:
    row = case.row
    side = "above" if row.label else "not above"
    return Words(
        "Judged tampered" if row.label else row.verdict.capitalize(),
        (
            f"The score {row.detection_score:.3f} is {side} {row.decision_threshold:g}. The model is not calibrated: "
            "how often it is wrong is not known.",
        ),
        (
            "It is neither proof nor a probability. Calibrate the model (vilaco calibrate) before deciding anything by "
            "it.",
            _EVERYDAY,
            _NOT_LOOKED_FOR,
        ),
    )


def share(rate: float) -> str:
    """A rate as people read it.

    Example:
        >>> share(0.05), share(0.2), share(0.015)
        ('5% (1 in 20)', '20% (1 in 5)', '1.5%')
    """
    one_in = 1 / rate
    percent = f"{100 * rate:.3g}%"
    return f"{percent} (1 in {one_in:.0f})" if abs(one_in - round(one_in)) < 0.01 else percent


def place(region: Region, width: int, height: int) -> str:
    """Where in the picture a region lies, by its box's centre, in thirds.

    Example:
        >>> place(Region(box=(0, 0, 10, 10), area=50, mean_score=0.9), 100, 100)
        'upper left'
    """
    x, y, box_width, box_height = region.box
    across = min(2, int(3 * (x + box_width / 2) / width))
    down = min(2, int(3 * (y + box_height / 2) / height))
    if down == 1:
        return ("left", "centre", "right")[across]
    return f"{'upper' if down == 0 else 'lower'} {('left', 'middle', 'right')[across]}"
