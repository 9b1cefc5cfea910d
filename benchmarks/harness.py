"""What the benchmarks share: out-of-fold judging, and one table from any rows, data sets and re-saves."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.progress import track
from torch import Tensor

from vilaco.data.pool import PoolPhoto
from vilaco.data.records import Record
from vilaco.data.split import grouped_folds
from vilaco.encoders import EncoderConfig, load_encoder
from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.evaluation.baselines import get_baseline
from vilaco.evaluation.evaluate import evaluate
from vilaco.evaluation.localizer_predictor import LocalizerPredictor
from vilaco.evaluation.prediction import Prediction, Predictor
from vilaco.evaluation.results import EvaluationReport, Figure, Provenance
from vilaco.files import write_atomically
from vilaco.images import Photo
from vilaco.localizer import Localizer
from vilaco.runtimes.torch import TorchRuntime
from vilaco.training.fit import train
from vilaco.training.recipe import Recipe
from vilaco.training.run import RECIPE_FILE, TrainingSummary

RESULTS = Path(__file__).parent / "results"
FILES: dict[str, dict[str, Any]] = {  # what evaluate does to every file first
    "raw": {},
    "jpeg80": {"resave_jpeg_quality": 80},
}
COLUMNS = {
    "P-F1@0.5": ("wscl", "pixel_f1_per_image_mean"),
    "pixel AUC": ("full", "pixel_auc_per_image_mean"),
    "I-F1": ("wscl", "image_f1_sen_spe_harmonic"),
    "I-AUC": ("wscl", "image_auc"),
}
Row = Callable[[], tuple[Predictor, Provenance]]


def calibrates(photo: PoolPhoto) -> bool:
    """Whether shipped models are calibrated on a photo of the pool.

    They are on its calibration side and, since no course learns from ``cameras``, on some of its training side.
    """
    some = photo.source == "cameras" and photo.side == "training" and photo.sha256[-1] < "8"
    return some or photo.side == "calibration"


@dataclass(frozen=True)
class OutOfFold:
    """Judge each photo by the model that has not seen its scene.

    Photos of other data sets, which no model has seen, go to the model of the first fold.
    """

    name: str
    models: Sequence[Localizer]
    fold_of: dict[str, int]

    def __call__(self, photo: Photo) -> Prediction:
        return LocalizerPredictor(self.models[self.fold_of.get(photo.source, 0)])(photo)

    @property
    def weights(self) -> str:
        """Hashes of the folds' weights, in order."""
        return " ".join(model.fingerprint for model in self.models)


@cache
def shared_encoder(config: EncoderConfig) -> VisionLanguageEncoder:
    """One frozen encoder for all models of this process, which looks at each photo once, however many models ask."""
    encoder = load_encoder(config)
    look: Callable[[Tensor], Tensor] = encoder.encode_patches
    seen: dict[bytes, Tensor] = {}

    def encode_patches(pixels: Tensor) -> Tensor:
        key = hashlib.sha256(pixels.numpy().tobytes()).digest()
        if key not in seen:
            seen[key] = look(pixels)
        return seen[key]

    encoder.encode_patches = encode_patches  # type: ignore[method-assign]
    return encoder


def train_out_of_fold(
    name: str,
    records: Sequence[Record],
    recipe: Recipe,
    runs: Path,
    *,
    run: Callable[..., TrainingSummary] = train,
    folds: int = 2,
    seed: int = 0,
) -> OutOfFold:
    """Train one model per fold on the other folds' images; a finished run under ``runs`` is used again."""
    parts = grouped_folds(records, folds, seed)
    models = []
    for index, held_out in enumerate(parts):
        others = [record for part in parts if part is not held_out for record in part]
        folder = train_once(others, recipe, runs / f"fold{index}", run=run)
        runtime = TorchRuntime.load(folder, device="cpu", encoder=shared_encoder(recipe.model.encoder))
        models.append(Localizer(runtime, name=name, calibration=runtime.calibration))
    fold_of = {os.fspath(record.path): index for index, part in enumerate(parts) for record in part}
    return OutOfFold(name, models, fold_of)


def train_once(records: Sequence[Record], recipe: Recipe, out: Path, *, run: Callable[..., TrainingSummary]) -> Path:
    """Train unless this run is finished, going on with one that was stopped; returns the model folder."""
    done = out / "done"
    if not done.exists():
        summary = run(records, recipe, out, resume=(out / RECIPE_FILE).exists())
        if summary.interrupted:
            raise SystemExit(130)
        done.touch()
    return out / "model"


def baseline_row(name: str) -> tuple[Predictor, Provenance]:
    """An untrained baseline."""
    encoder = "embedded" if name == "zero_shot" else None
    return get_baseline(name), Provenance(encoder=encoder, image_score="the baseline's own")


def trained_row(name: str, records: Sequence[Record], recipe: Recipe, runs: Path) -> tuple[Predictor, Provenance]:
    """A recipe trained out of fold."""
    predictor = train_out_of_fold(name, records, recipe, runs / name)
    return predictor, Provenance(
        encoder=predictor.models[0].encoder_name,
        weights=predictor.weights,
        image_score="the model's detection score",
        training_seed=recipe.training.seed,
    )


def measure(
    rows: dict[str, Row],
    datasets: dict[str, Sequence[Record]],
    pairs: Sequence[tuple[str, str]],
    runs: Path,
    *,
    jobs: int,
    files: dict[str, dict[str, Any]] = FILES,
) -> dict[tuple[str, str, str], EvaluationReport]:
    """Evaluate pairs of a row and a data set, with each change to the files; what is done under ``runs`` is used again.

    Trained rows must be trained already: ``jobs`` processes of one thread each take one evaluation at a time.
    """
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the processes to come
    tasks = [(row, data, change) for row, data in pairs for change in files]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = [
            pool.submit(_measure, rows[row], row, data, datasets[data], runs / "evaluations" / data / row / f, files[f])
            for row, data, f in tasks
        ]
        reports = [future.result() for future in track(futures, description="evaluating")]
    return dict(zip(tasks, reports, strict=True))


def _measure(
    build: Row, row: str, data: str, records: Sequence[Record], folder: Path, change: dict[str, Any]
) -> EvaluationReport:
    if (folder / "evaluation.json").exists():
        return EvaluationReport.model_validate_json((folder / "evaluation.json").read_bytes())
    predictor, provenance = build()
    report = evaluate(
        predictor, records, ("wscl", "full"), data=data, mask_policy="resize", provenance=provenance, **change
    )
    report.save(folder)
    return report


def save_figures(reports: Iterable[EvaluationReport], name: str) -> None:
    """Write every figure of every report, each row complete in itself, to ``benchmarks/results/<name>.csv``."""
    header, lines = "", []
    for report in reports:
        header, *rows = report.metrics_csv().splitlines()
        lines += rows
    write_atomically(RESULTS / f"{name}.csv", "\n".join([header, *lines, ""]).encode())


def cell(figure: Figure) -> str:
    """A figure with its bootstrap interval."""
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def markdown_table(reports: dict[tuple[str, str, str], EvaluationReport], data: str) -> list[str]:
    """One line a row and re-save."""
    lines = ["| method | files | " + " | ".join(COLUMNS) + " |", "|---|---|" + "---|" * len(COLUMNS)]
    for (row, of, files), report in reports.items():
        if of == data:
            cells = " | ".join(cell(report[profile][name]) for profile, name in COLUMNS.values())
            lines.append(f"| {row} | {files} | {cells} |")
    return lines


def short_table(reports: dict[tuple[str, str, str], EvaluationReport], data: str) -> list[str]:
    """One line a row, without intervals: raw / re-saved."""
    lines = ["| method | " + " | ".join(COLUMNS) + " |", "|---|" + "---|" * len(COLUMNS)]
    for row in dict.fromkeys(row for row, of, _ in reports if of == data):
        cells = [
            " / ".join(f"{reports[row, data, files][profile][name].value:.3f}".removeprefix("0") for files in FILES)
            for profile, name in COLUMNS.values()
        ]
        lines.append(f"| {' | '.join([row.replace('_', ' '), *cells])} |")
    return lines
