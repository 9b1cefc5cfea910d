"""Train the shipped models, and measure everything their cards say.

    python benchmarks/shipped_model.py ../shared/data --free-photos FOLDER

The network of recipe `default`, trained on self-made forgeries from authentic photos alone: weights `free` on
photos of a free licence that ``free_photos.py`` gathers, in one stage; `research` on bsds500, imagenet_sample and
casia2_au, in two, the learning rate falling to zero in each. Neither has seen an image of the sets they judge:
casia1_dev, micc_f220 and comofod_50. Beside them the course of `research` from another seed, and from there two rounds
of self-training on casia1_dev, with image labels alone, in two folds by scene whose models judge the scenes they have
not seen. Every set as it is, re-saved at JPEG 80, and at 0.75x re-saved at JPEG 80.

Takes up under ``--runs`` what is done, and may be stopped. Writes ``shipped_model.csv`` (every figure) and
``shipped_model.md`` to ``benchmarks/results/``.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from harness import COLUMNS, FILES, RESULTS, Row, markdown_table, measure, save_figures, train_once, train_out_of_fold
from vilaco.data.formats import read_dataset
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.errors import ImageError
from vilaco.evaluation.audit.model import background_crop
from vilaco.evaluation.audit.probe import auc_within_folds
from vilaco.evaluation.audit.regions import Regions
from vilaco.evaluation.bootstrap import Interval
from vilaco.evaluation.histories import INNOCENT_CHANGES
from vilaco.evaluation.localizer_predictor import LocalizerPredictor
from vilaco.evaluation.prediction import Predictor
from vilaco.evaluation.results import EvaluationReport, Provenance
from vilaco.evaluation.verdicts import authentic_verdicts
from vilaco.files import find_images, write_atomically
from vilaco.images import Photo, load_photo
from vilaco.localizer import Localizer
from vilaco.method.checkpoint import CONFIG, WEIGHTS
from vilaco.runtimes import GRAPH
from vilaco.training.export import export_model
from vilaco.training.recipe import Recipe, load_recipe
from vilaco.training.run import TrainingSummary
from vilaco.training.self_training import train_by_forging

PHOTOS = ("bsds500/images", "imagenet_sample", "casia2_au")
SEGMENTS = "bsds500/segments"
USERS, OTHERS = "casia1_dev", ("micc_f220", "comofod_50")
FREE = load_recipe(
    "default",
    overrides=["self_training.rounds=0", "self_training.forged.steps=2400", "training.validation_share=0.25"],
)
FORGED = ("self_training.rounds=0", "self_training.forged.steps=1500")
FORGED_ON = (
    "self_training.rounds=1",
    "self_training.round={steps: 2400, learning_rate: 1e-3, warmup_steps: 100}",
)
SEEDS = {"research": 1, "seed 0": 0}
ROUNDS = load_recipe("default", overrides=["self_training.rounds=2"])
SMALL = "0.75x, JPEG 80"
JUDGES = {
    "free": "`free`",
    "research": "`research`",
    "seed 0": "seed 0",
    "self-trained": "seed 0, two rounds on, out of fold",
}


def shrink(photo: Photo) -> Photo:
    """A photo at 0.75x."""
    return replace(photo, pixels=INNOCENT_CHANGES["0.75x"](photo.pixels))


CHANGES: dict[str, dict[str, Any]] = {
    **FILES,
    "0.75x, jpeg80": {"transform": shrink, "preprocessing": "0.75x", "resave_jpeg_quality": 80},
}


def forge(
    data: Path, start_from: Path | None, records: Sequence[Record], recipe: Recipe, out: Path, *, resume: bool
) -> TrainingSummary:
    """Train with the photos to forge from; a resumed run knows them."""
    if resume:
        return train_by_forging(records, recipe, out, resume=True)
    photos = [image.path for image in find_images([data / name for name in PHOTOS])]
    return train_by_forging(records, recipe, out, photos=photos, segments=[data / SEGMENTS], start_from=start_from)


def forge_freely(
    folder: Path, records: Sequence[Record], recipe: Recipe, out: Path, *, resume: bool
) -> TrainingSummary:
    """Train with photos of a free licence to forge from; a resumed run knows them."""
    if resume:
        return train_by_forging(records, recipe, out, resume=True)
    return train_by_forging(records, recipe, out, photos=[image.path for image in find_images([folder])])


def forge_twice(data: Path, runs: Path, name: str) -> Path:
    """The two stages of `research`, from the seed of that row."""
    first, second = (
        load_recipe("default", overrides=[*stage, f"training.seed={SEEDS[name]}"]) for stage in (FORGED, FORGED_ON)
    )
    begun = train_once([], first, runs / name / "forged", run=partial(forge, data, None))
    return train_once([], second, runs / name / "forged_on", run=partial(forge, data, begun))


def out_of_fold(data: Path, runs: Path, forged: Path) -> tuple[Predictor, Provenance]:
    """A model self-trained in two folds by scene."""
    run = partial(forge, data, forged)
    predictor = train_out_of_fold("self-trained", read_dataset(data / USERS), ROUNDS, runs / "folds", run=run)
    first = predictor.models[0]
    return predictor, Provenance(
        encoder=first.encoder_name, weights=predictor.weights, image_score="calibrated mean of y_coarse and y_fine"
    )


def ship(trained: Path, out: Path) -> Path:
    """The trained model as it is shipped: weights in half precision, and the ONNX graphs made from them."""
    if not (out / GRAPH).exists():
        halved = {name: value.half() for name, value in load_tensors((trained / WEIGHTS).read_bytes()).items()}
        half = out.with_name(f"{out.name}_half")
        write_atomically(half / WEIGHTS, save_tensors(halved))
        write_atomically(half / CONFIG, (trained / CONFIG).read_bytes())
        export_model(half, out)
        write_atomically(out / WEIGHTS, (half / WEIGHTS).read_bytes())
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds the data sets")
    parser.add_argument("--free-photos", type=Path, required=True, help="what free_photos.py gathered")
    parser.add_argument("--runs", type=Path, default=Path("runs/shipped_model"))
    parser.add_argument("--train-only", action="store_true", help="train and stop")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that evaluate")
    arguments = parser.parse_args()
    data, runs = arguments.data, arguments.runs

    free = train_once([], FREE, runs / "free", run=partial(forge_freely, arguments.free_photos))
    trained = {"free": free, **{name: forge_twice(data, runs, name) for name in SEEDS}}
    out_of_fold(data, runs, trained["seed 0"])
    models = {name: ship(folder, runs / "exported" / name) for name, folder in trained.items()}
    if arguments.train_only:
        return

    rows: dict[str, Row] = {name: partial(shipped, model) for name, model in models.items()}
    rows["self-trained"] = partial(out_of_fold, data, runs, trained["seed 0"])
    datasets = {name: read_dataset(data / name) for name in (USERS, *OTHERS)}
    pairs = [(row, USERS) for row in rows] + [(model, name) for name in OTHERS for model in models]
    reports = measure(rows, datasets, pairs, runs, jobs=arguments.jobs, files=CHANGES)
    save_figures(reports.values(), "shipped_model")
    trained_on = "a GPU" if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"
    text = f"""# The shipped models

`python benchmarks/shipped_model.py DATA --free-photos FOLDER`, on {trained_on}. Encoder `embedded`; self-made forgeries
only, no image of the sets seen. Seed 0: the course of `research`, whose seed is 1, from another one. Two rounds on:
self-trained from there on casia1_dev with image labels, each scene judged by the model that has not seen it. P-F1, I-F1
and I-AUC by profile `wscl`, pixel AUC per tampered image, then the mean; in brackets bootstrap 95% intervals over
images.
"""
    text += "\n" + "\n".join(summary_table(reports)) + "\n"
    for name in datasets:
        text += f"\n## {name}\n\n" + "\n".join(markdown_table(reports, name)) + "\n"
    for judge, model in models.items():
        text += f"\n## {USERS} without the forgery, {JUDGES[judge]}\n\n"
        text += "\n".join(background_lines(shipped(model)[0], datasets[USERS])) + "\n"
    text += "\n## False alarms at the shipped threshold\n\n" + "\n".join(verdict_lines(models, data)) + "\n"
    write_atomically(RESULTS / "shipped_model.md", text.encode())
    print(text)


if __name__ == "__main__":
    main()
