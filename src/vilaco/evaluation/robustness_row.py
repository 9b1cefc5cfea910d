"""One line of a robustness table."""

from pydantic import BaseModel, ConfigDict

from vilaco.evaluation.results import Number


class RobustnessRow(BaseModel):
    """One figure of one rung.

    Attributes:
        rung: Name of the degradation; ``"clean"`` is the undegraded photo.
        stands_for: What happens to photos so, in words.
        family: Rungs of one family are one line in the plot.
        level: How much, in the family's own unit; None where there is only one.
        profile: Whose definition the metric follows.
        metric: Its name.
        value: NaN where undefined.
        drop: Clean value minus this one; positive is a loss for scores where more is better.
        low: Lower end of the bootstrap 95% interval of the value.
        high: Upper end.
        images: How many images the figure rests on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    rung: str
    stands_for: str
    family: str
    level: int | None
    profile: str
    metric: str
    value: Number
    drop: Number
    low: Number
    high: Number
    images: int
