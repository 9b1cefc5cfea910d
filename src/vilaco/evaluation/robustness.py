"""How a method's figures fall along a ladder of degradations: one row a rung, with the drop from clean."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from vilaco.data.records import Record
from vilaco.evaluation.evaluate import MaskPolicy, evaluate
from vilaco.evaluation.ladders import Ladder
from vilaco.evaluation.prediction import Predictor
from vilaco.evaluation.results import EvaluationReport, Figure, Provenance, to_csv
from vilaco.evaluation.robustness_row import RobustnessRow
from vilaco.files import write_atomically
from vilaco.names import Text

Progress = Callable[[Iterable[Record], str], Iterable[Record]]


class RobustnessReport(BaseModel):
    """A whole ladder.

    Attributes:
        method: Name of the method judged.
        data: Name of the data set.
        ladder: Name of the ladder.
        seed: Of the bootstrap; degradations draw from the photo itself and need none.
        rows: Every headline figure of every rung, clean first.
        evaluations: The full evaluation behind each rung, in the same order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Text
    data: Text
    ladder: str
    seed: int
    rows: tuple[RobustnessRow, ...]
    evaluations: tuple[EvaluationReport, ...]

    def csv(self) -> str:
        """A row a figure and rung."""
        shared = {"method": self.method, "data": self.data, "ladder": self.ladder, "seed": self.seed}
        return to_csv([*shared, *RobustnessRow.model_fields], [shared | row.model_dump() for row in self.rows])

    def save(self, folder: Path) -> list[Path]:
        """Write ``robustness.json``, ``robustness.csv`` and ``robustness.png``.

        Returns:
            The files written.
        """
        from vilaco.evaluation.robustness_plot import plot_robustness

        written = {
            folder / "robustness.json": (self.model_dump_json(indent=1) + "\n").encode(),
            folder / "robustness.csv": self.csv().encode(),
            folder / "robustness.png": plot_robustness(
                self.rows, f"{self.method} on {self.data}: {self.ladder} ladder"
            ),
        }
        for path, content in written.items():
            write_atomically(path, content)
        return list(written)


def run_robustness(
    predictor: Predictor,
    records: Sequence[Record],
    ladder: Ladder,
    profiles: Sequence[str] = ("wscl",),
    *,
    data: str = "data",
    mask_policy: MaskPolicy = "skip",
    provenance: Provenance | None = None,
    resamples: int = 1000,
    seed: int = 0,
    progress: Progress = lambda records, _: records,
) -> RobustnessReport:
    """Evaluate a method on every rung of a ladder.

    A rung may change the size of the photo; the map is brought back to the photo's own size before it meets
    the mask, so every rung is measured on the same pixels.

    Args:
        predictor: A model or a baseline; saved predictions cannot see the degraded photos.
        records: As for :func:`~vilaco.evaluation.evaluate.evaluate`.
        ladder: One of :data:`~vilaco.evaluation.ladders.LADDERS`.
        profiles: Names of metric profiles.
        data: What the report calls the data set.
        mask_policy: For masks whose size is not their image's.
        provenance: What made the predictions.
        resamples: Bootstrap resamples; 0 for no intervals.
        seed: Of the bootstrap.
        progress: Wraps the records of each rung, with its name, for a progress bar.

    Returns:
        The report; its rows hold the profiles' headline figures.
    """
    evaluations = []
    rows: list[RobustnessRow] = []
    clean: dict[tuple[str, str], Figure] = {}
    for rung in ladder.rungs:
        report = evaluate(
            predictor,
            records,
            profiles,
            data=data,
            mask_policy=mask_policy,
            transform=rung.degrade,
            preprocessing=rung.name,
            provenance=provenance,
            resamples=resamples,
            seed=seed,
            progress=lambda listed, name=rung.name: progress(listed, name),  # type: ignore[misc]
        )
        evaluations.append(report)
        for result in report.profiles:
            for figure in result.figures:
                if not figure.headline:
                    continue
                reference = clean.setdefault((result.profile, figure.name), figure)
                rows.append(
                    RobustnessRow(
                        rung=rung.name,
                        stands_for=rung.stands_for,
                        family=rung.family,
                        level=rung.level,
                        profile=result.profile,
                        metric=figure.name,
                        value=figure.value,
                        drop=reference.value - figure.value,
                        low=figure.low,
                        high=figure.high,
                        images=figure.images,
                    )
                )
    return RobustnessReport(
        method=predictor.name,
        data=data,
        ladder=ladder.name,
        seed=seed,
        rows=tuple(rows),
        evaluations=tuple(evaluations),
    )
