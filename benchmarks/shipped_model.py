"""Make the shipped `research` from what a course trained, and measure everything that the cards say.

    python benchmarks/shipped_model.py ../shared/data --trained runs/research/best --pool POOL.csv --photos PHOTOS

Calibrates the model on the calibration side of the pool, which no course learns from, writes it as the package ships it
to ``--runs``, and judges the sets that neither it nor `free`, as it lies in the package, has seen: casia1_dev,
micc_f220 and comofod_50; every set as it is, re-saved at JPEG 80, and at 0.75x re-saved at JPEG 80.

Takes up under ``--runs`` what is done, and may be stopped. Writes ``shipped_model.csv`` (every figure) and
``shipped_model.md`` to ``benchmarks/results/``, and puts the rows of its tables in place of those that the cards and
docs/results.md have.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from harness import COLUMNS, FILES, RESULTS, Row, markdown_table, measure, save_figures
from vilaco.data.formats import read_dataset
from vilaco.data.pool import find_photo, read_pool
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.errors import ImageError
from vilaco.evaluation.audit.model import background_crop
from vilaco.evaluation.audit.probe import auc_within_folds
from vilaco.evaluation.audit.regions import Regions
from vilaco.evaluation.bootstrap import Interval
from vilaco.evaluation.calibrate import calibrate, write_calibrated
from vilaco.evaluation.histories import INNOCENT_CHANGES
from vilaco.evaluation.localizer_predictor import LocalizerPredictor
from vilaco.evaluation.prediction import Predictor
from vilaco.evaluation.results import EvaluationReport, Provenance
from vilaco.evaluation.verdicts import authentic_verdicts
from vilaco.files import write_atomically
from vilaco.images import Photo, load_photo
from vilaco.localizer import Localizer
from vilaco.method.checkpoint import CONFIG
from vilaco.runtimes import GRAPH
from vilaco.training.shipping import ship_model
from vilaco.weights import find_model

USERS, OTHERS = "casia1_dev", ("micc_f220", "comofod_50")
SEED = 0
SMALL = "0.75x, JPEG 80"
JUDGES = {"research": "`research`", "free": "`free`"}
ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "docs/results.md", *(ROOT / f"src/vilaco/weights/{name}/README.md" for name in JUDGES))
"""Where rows of the tables stand again."""


def shrink(photo: Photo) -> Photo:
    """A photo at 0.75x."""
    return replace(photo, pixels=INNOCENT_CHANGES["0.75x"](photo.pixels))


CHANGES: dict[str, dict[str, Any]] = {
    **FILES,
    "0.75x, jpeg80": {"transform": shrink, "preprocessing": "0.75x", "resave_jpeg_quality": 80},
}


def ship(trained: Path, photos: Sequence[Path], runs: Path) -> Path:
    """The trained model, calibrated on photos, as it is shipped; once for its weights."""
    localizer = Localizer.load(trained)
    folder = runs / localizer.fingerprint[:12]
    calibrated, out = folder / "calibrated", folder / "research"
    if not (calibrated / CONFIG).exists():
        report = calibrate(localizer, photos, seed=SEED, progress=partial(track, description="calibrating"))
        write_calibrated(trained, calibrated, report.calibration)
    if not (out / GRAPH).exists():
        ship_model(calibrated, out)
    return out


def shipped(model: Path) -> tuple[Predictor, Provenance]:
    """The model as it is shipped, on ONNX Runtime."""
    localizer = Localizer.load(model)
    return LocalizerPredictor(localizer), Provenance(
        encoder=localizer.encoder_name,
        weights=localizer.fingerprint,
        image_score="calibrated mean of y_coarse and y_fine",
    )


def summary_table(reports: dict[tuple[str, str, str], EvaluationReport]) -> list[str]:
    """One line a set, without intervals: raw / re-saved / re-sized and re-saved."""
    lines = ["| set | judged by | " + " | ".join(COLUMNS) + " |", "|---|---|" + "---|" * len(COLUMNS)]
    for row, data in dict.fromkeys((row, data) for row, data, _ in reports):
        cells = [
            " / ".join(f"{reports[row, data, files][profile][name].value:.3f}".removeprefix("0") for files in CHANGES)
            for profile, name in COLUMNS.values()
        ]
        lines.append(f"| {' | '.join([data, JUDGES[row], *cells])} |")
    return lines


def background_aucs(predictor: Predictor, records: Sequence[Record]) -> dict[str, tuple[float, Interval, str]]:
    """AUC of the image score on crops that stay clear of the forgery, which should tell nothing.

    Returns:
        What was done to the files to AUC, its interval, and the numbers of crops.
    """
    changes = {"raw": lambda pixels: pixels, SMALL: INNOCENT_CHANGES[SMALL]}
    regions = Regions(records, seed=0)
    labels: list[int] = []
    scores: dict[str, list[float]] = {files: [] for files in changes}
    for record in track(records, description="backgrounds"):
        photo = load_photo(record.path)
        try:
            crop = background_crop(record, photo, regions)
        except ImageError:
            continue
        labels.append(int(record.label == TAMPERED))
        for files, change in changes.items():
            scores[files].append(predictor(replace(photo, pixels=change(crop))).detection_score)
    one_judge, tampered = np.zeros(len(labels), np.int64), np.array(labels, bool)
    count = f"{labels.count(AUTHENTIC)} + {labels.count(TAMPERED)}"
    return {
        files: (*auc_within_folds(np.array(column), tampered, one_judge, seed=0), count)
        for files, column in scores.items()
    }


def background_lines(predictor: Predictor, records: Sequence[Record]) -> list[str]:
    """A table of :func:`background_aucs`."""
    lines = ["| background alone, files | AUC | images |", "|---|---|---|"]
    for files, (auc, interval, count) in background_aucs(predictor, records).items():
        lines.append(f"| {files} | {auc:.3f} [{interval.low:.3f}, {interval.high:.3f}] | {count} |")
    return lines


def verdict_lines(models: dict[str, Path], data: Path) -> list[str]:
    """False alarms and undecided answers on authentic photos of sets that nothing was trained on."""
    columns = ["authentic photos of", "judged by", "state", "photos", "called tampered", "cannot tell"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name in (USERS, *OTHERS):
        authentic = [record.path for record in read_dataset(data / name) if record.label == AUTHENTIC]
        for judge, model in models.items():
            for row in authentic_verdicts(Localizer.load(model), authentic).rows:
                figures = [str(row.verdicts.total()), f"{row.false_alarms:.1%}", f"{row.undecided:.1%}"]
                lines.append(f"| {' | '.join([name, JUDGES[judge], row.state, *figures])} |")
    return lines


def renew_rows(page: str, tables: Sequence[str]) -> str:
    """A page with the rows of tables in place of its own on the same set, model and, where it says so, state."""

    def key(line: str) -> tuple[str, ...]:
        return tuple(cell for cell in line.split(" | ")[:3] if not cell.startswith("."))

    measured = {key(line): line for line in tables}
    ours = tuple(f"| {name} | `" for name in (USERS, *OTHERS))
    lines = page.split("\n")
    return "\n".join(measured[key(line)] if line.startswith(ours) else line for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds the data sets")
    parser.add_argument("--trained", type=Path, required=True, help="model folder of a course")
    parser.add_argument("--pool", type=Path, required=True, help="list from vilaco data pool")
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders below which its photos lie")
    parser.add_argument("--runs", type=Path, default=Path("runs/shipped_model"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that evaluate")
    arguments = parser.parse_args()
    data, runs = arguments.data, arguments.runs

    pool = [photo for photo in read_pool(arguments.pool) if photo.side == "calibration"]
    made = ship(arguments.trained, [find_photo(photo, arguments.photos) for photo in pool], runs)
    models = {"research": made, "free": find_model("free").folder}
    rows: dict[str, Row] = {name: partial(shipped, model) for name, model in models.items()}
    datasets = {name: read_dataset(data / name) for name in (USERS, *OTHERS)}
    pairs = [(row, name) for name in datasets for row in rows]
    reports = measure(rows, datasets, pairs, runs, jobs=arguments.jobs, files=CHANGES)
    save_figures(reports.values(), "shipped_model")
    text = f"""# The shipped models

`python benchmarks/shipped_model.py DATA --trained MODEL --pool POOL.csv --photos PHOTOS`. Encoder `embedded`; self-made
forgeries only, no image of the sets seen. `research` {Localizer.load(made).fingerprint[:12]}, calibrated on {len(pool)}
photos of the pool; `free` {Localizer.load("free").fingerprint[:12]}. P-F1, I-F1 and I-AUC by profile `wscl`, pixel
AUC per tampered image, then the mean; in brackets bootstrap 95% intervals over images.
"""
    summary, verdicts = summary_table(reports), verdict_lines(models, data)
    text += "\n" + "\n".join(summary) + "\n"
    for name in datasets:
        text += f"\n## {name}\n\n" + "\n".join(markdown_table(reports, name)) + "\n"
    for judge, model in models.items():
        text += f"\n## {USERS} without the forgery, {JUDGES[judge]}\n\n"
        text += "\n".join(background_lines(shipped(model)[0], datasets[USERS])) + "\n"
    text += "\n## False alarms at the shipped threshold\n\n" + "\n".join(verdicts) + "\n"
    write_atomically(RESULTS / "shipped_model.md", text.encode())
    for page in PAGES:
        write_atomically(page, renew_rows(page.read_text(), [*summary, *verdicts]).encode())
    print(text)


if __name__ == "__main__":
    main()
