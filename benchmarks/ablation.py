"""What each part of recipe `default` is worth, at a small budget that two cores can afford.

    python benchmarks/ablation.py ../shared/data --free-photos FOLDER

Every row is trained anew on the same few steps, so rows compare with each other and not with the shipped model. Rows of
the first table see self-made forgeries alone, of photos that hold no image of casia1_dev. Rows of the second go on from
there with the image labels of casia1_dev, in two folds by scene. All are judged on every third scene of casia1_dev, as
stored and at 0.75x re-saved at JPEG 80.

``--free-photos`` holds the photographs among those that scikit-image and Debian's packages gnome-backgrounds,
mate-backgrounds, plasma-workspace-wallpapers and ukui-wallpapers bring; without it that row is left out.

Takes up under ``--runs`` what is done, and may be stopped. Writes ``ablation.csv`` and ``ablation.md`` to
``benchmarks/results/``.
"""

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import torch

from harness import RESULTS, Row, measure, save_figures, shared_encoder, train_once, train_out_of_fold
from shipped_model import CHANGES, PHOTOS, SEGMENTS, USERS, background_aucs
from vilaco.data.formats import read_dataset
from vilaco.data.records import Record
from vilaco.data.split import group_key, grouped_folds
from vilaco.evaluation.localizer_predictor import LocalizerPredictor
from vilaco.evaluation.prediction import Predictor
from vilaco.evaluation.results import EvaluationReport, Provenance
from vilaco.files import find_images, write_atomically
from vilaco.localizer import Localizer
from vilaco.method.checkpoint import save_checkpoint
from vilaco.method.residuals import KINDS
from vilaco.method.vilaco import ViLaCo
from vilaco.runtimes.torch import TorchRuntime
from vilaco.training.recipe import Recipe, load_recipe
from vilaco.training.run import TrainingSummary
from vilaco.training.self_training import train_by_forging

FILES = {files: CHANGES[files] for files in ("raw", "0.75x, jpeg80")}
SMALL = (
    "self_training.stream.sizes=[[192,288],[288,192],[224,336]]",
    "self_training.forged.steps=250",
    "self_training.forged.warmup_steps=50",
    "self_training.round.steps=70",
    "training.validation_share=0.05",
)
STORED = "self_training.stream.sizes=[[256,384],[384,256]]"
ALONE = (  # no forgery and no pseudo-mask: as many steps as both stages together
    "self_training.stream.real_share=1",
    "self_training.round.steps=320",
    "self_training.round.learning_rate=1e-3",
    "self_training.objective={pixel: 0, image: 1, consistency: 0}",
)


@dataclass(frozen=True)
class Variant:
    """One row: settings, the row whose forged stage it goes on from, and the photos forged."""

    settings: tuple[str, ...] = ()
    start: str | None = None
    free_photos: bool = False


FORGED = {
    "all parts": Variant(),
    "all parts, seed 1": Variant(("training.seed=1",)),
    "no vision-language features": Variant(("model.patch_features=false",)),
    **{
        f"no {left_out} residuals": Variant(
            (f"model.residuals.kinds=[{','.join(kind for kind in KINDS if kind != left_out)}]",)
        )
        for left_out in KINDS
    },
    "no copy-move branch": Variant(("model.copy_move=null",)),
    "no contrastive consistency": Variant(("self_training.objective.consistency=0",)),
    "photos of free licence": Variant(free_photos=True),
}
ROUNDS = {
    "one round": Variant((), "all parts"),
    "one round, seed 1": Variant(("training.seed=1",), "all parts, seed 1"),
    "two rounds": Variant(("self_training.rounds=2",), "all parts"),
    "one round, no contrastive consistency": Variant(
        ("self_training.objective.consistency=0",), "no contrastive consistency"
    ),
    "one round, real images as stored": Variant((STORED, "self_training.stream.resave_share=0"), "all parts"),
    "image labels alone": Variant(ALONE, "untrained"),
}


def recipe_of(variant: Variant) -> Recipe:
    """The small recipe with a row's settings; rows without a start see no real image."""
    rounds = "self_training.rounds=1" if variant.start else "self_training.rounds=0"
    return load_recipe("default", overrides=[*SMALL, rounds, *variant.settings])


def photos_of(variant: Variant, data: Path, free: Path | None) -> list[Path]:
    """What a row forges from."""
    folders = [free] if variant.free_photos and free else [data / name for name in PHOTOS]
    return [image.path for image in find_images(folders)]


def learn(
    photos: Sequence[Path],
    segments: Path | None,
    start: Path | None,
    records: Sequence[Record],
    recipe: Recipe,
    out: Path,
    *,
    resume: bool,
) -> TrainingSummary:
    """Train a row; a resumed run knows its photos."""
    if resume:
        return train_by_forging(records, recipe, out, resume=True)
    return train_by_forging(records, recipe, out, photos=photos, segments=segments, start_from=start)


def train_forged(name: str, data: Path, free: Path | None, runs: Path) -> None:
    """A row of the first table."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    variant = FORGED[name]
    segments = None if variant.free_photos else data / SEGMENTS
    run = partial(learn, photos_of(variant, data, free), segments, None)
    train_once([], recipe_of(variant), runs / "forged" / name, run=run)


def out_of_fold(name: str, data: Path, runs: Path) -> tuple[Predictor, Provenance]:
    """A row of the second table."""
    variant = ROUNDS[name]
    run = partial(learn, photos_of(variant, data, None), data / SEGMENTS, start_of(variant, runs))
    recipe = recipe_of(variant)
    predictor = train_out_of_fold(name, read_dataset(data / USERS), recipe, runs / "rounds" / name, run=run)
    return predictor, Provenance(
        encoder=predictor.models[0].encoder_name, weights=predictor.weights, training_seed=recipe.training.seed
    )


def start_of(variant: Variant, runs: Path) -> Path:
    """The model that a row of the second table goes on from."""
    if variant.start != "untrained":
        return runs / "forged" / str(variant.start) / "model"
    folder = runs / "untrained"
    if not folder.exists():
        recipe = recipe_of(variant)
        torch.manual_seed(recipe.training.seed)
        save_checkpoint(ViLaCo(recipe.model, shared_encoder(recipe.model.encoder)), folder, trained_with={})
    return folder


def train_fold(name: str, fold: int, data: Path, runs: Path) -> None:
    """One model of a row of the second table."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    variant, parts = ROUNDS[name], grouped_folds(read_dataset(data / USERS), 2, seed=0)
    run = partial(learn, photos_of(variant, data, None), data / SEGMENTS, start_of(variant, runs))
    train_once(parts[1 - fold], recipe_of(variant), runs / "rounds" / name / f"fold{fold}", run=run)


def forged_row(name: str, runs: Path) -> tuple[Predictor, Provenance]:
    """A trained row of the first table."""
    recipe = recipe_of(FORGED[name])
    runtime = TorchRuntime.load(
        runs / "forged" / name / "model", device="cpu", encoder=shared_encoder(recipe.model.encoder)
    )
    localizer = Localizer(runtime, name=name, calibration=runtime.calibration)
    return LocalizerPredictor(localizer), Provenance(
        encoder=localizer.encoder_name, weights=localizer.fingerprint, training_seed=recipe.training.seed
    )


def background_cells(build: Row, records: Sequence[Record]) -> str:
    """AUC of the image score where the forgery is cut off: as stored / re-sized and re-saved."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    return " / ".join(f"{auc:.3f}".removeprefix("0") for auc, *_ in background_aucs(build()[0], records).values())


def table(rows: Sequence[str], reports: dict[tuple[str, str, str], EvaluationReport], cells: Sequence[str]) -> str:
    """One line a row: as stored / re-sized and re-saved."""
    columns = {
        "P-F1@0.5": ("wscl", "pixel_f1_per_image_mean"),
        "pixel AUC": ("full", "pixel_auc_per_image_mean"),
        "I-AUC": ("wscl", "image_auc"),
    }
    lines = [f"| | {' | '.join(columns)} | background AUC |", "|---|---|---|---|---|"]
    for row, background in zip(rows, cells, strict=True):
        values = [
            " / ".join(f"{reports[row, USERS, files][profile][name].value:.3f}".removeprefix("0") for files in FILES)
            for profile, name in columns.values()
        ]
        lines.append(f"| {' | '.join([row, *values, background])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds the data sets")
    parser.add_argument("--free-photos", type=Path, help="folder of photos whose licences permit any use")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that train and evaluate")
    arguments = parser.parse_args()
    data, runs = arguments.data, arguments.runs

    forged = [name for name, variant in FORGED.items() if arguments.free_photos or not variant.free_photos]
    records = read_dataset(data / USERS)
    scenes = sorted({str(group_key(record)) for record in records})[::3]
    judged = [record for record in records if str(group_key(record)) in scenes]
    rows: dict[str, Row] = {
        **{name: partial(forged_row, name, runs) for name in forged},
        **{name: partial(out_of_fold, name, data, runs) for name in ROUNDS},
    }
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the processes to come
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        first = [pool.submit(train_forged, name, data, arguments.free_photos, runs) for name in forged]
        for future in first:
            future.result()
        second = [pool.submit(train_fold, name, fold, data, runs) for name in ROUNDS for fold in (0, 1)]
        for future in second:
            future.result()
        cells = list(pool.map(background_cells, rows.values(), [judged] * len(rows)))
    reports = measure(rows, {USERS: judged}, [(row, USERS) for row in rows], runs, jobs=arguments.jobs, files=FILES)
    save_figures(reports.values(), "ablation")
    tampered = sum(record.label for record in judged)
    text = f"""# Ablation of recipe `default`

`python benchmarks/ablation.py DATA --free-photos FOLDER`. Encoder `embedded`; every row trained anew at a small budget
(250 steps of 8 small forgeries, then 70 steps a round; the shipped model has had many times that), so rows compare with
each other only. Judged on every third scene of casia1_dev, {tampered} tampered and {len(judged) - tampered} authentic
images, as stored / at 0.75x and JPEG 80. Background AUC: of the image score on crops without the forgery; .5 is wanted.
Intervals are in `ablation.csv`.

## Self-made forgeries alone

{table(forged, reports, cells)}

## With image labels of casia1_dev, out of fold by scene

{table(list(ROUNDS), reports, cells[len(forged) :])}
"""
    write_atomically(RESULTS / "ablation.md", text.encode())
    print(text)


if __name__ == "__main__":
    main()
