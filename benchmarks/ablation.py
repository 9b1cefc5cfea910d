"""What each part of recipe `default` is worth.

    python benchmarks/ablation.py ../shared/data --free-photos FOLDER

Three tables, each of rows that compare with each other only; all are judged on every fifth scene of casia1_dev, as
stored and at 0.75x re-saved at JPEG 80.

1. A part is taken out of a model that learned from forgeries as the shipped one did, from seed 0, and what is left goes
   on learning from self-made forgeries for a short stage, as does the whole. None of this has seen an image of
   casia1_dev.
2. Rounds of self-training from there with the image labels of casia1_dev, in two folds by scene.
3. From scratch: the photos forged from.

``--free-photos`` holds what ``free_photos.py`` gathers; without it that row is left out.

Needs the forged stage that ``shipped_model.py`` of commit 17de5c8 trains. Takes up under ``--runs`` what is done, and
may be stopped. Writes ``ablation.csv`` and ``ablation.md`` to ``benchmarks/results/``.
"""

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import cv2
import torch
from torch import Tensor

from harness import RESULTS, Row, measure, save_figures, shared_encoder, train_once, train_out_of_fold
from shipped_model import CHANGES, USERS, background_aucs
from vilaco.data.formats import read_dataset
from vilaco.data.records import Record
from vilaco.data.split import group_key, grouped_folds
from vilaco.evaluation.localizer_predictor import LocalizerPredictor
from vilaco.evaluation.prediction import Predictor
from vilaco.evaluation.results import EvaluationReport, Provenance
from vilaco.files import find_images, write_atomically
from vilaco.localizer import Localizer
from vilaco.method.checkpoint import load_checkpoint, save_checkpoint
from vilaco.method.residuals import KINDS, BlockEvidence
from vilaco.method.vilaco import ViLaCo, ViLaCoConfig
from vilaco.runtimes.torch import TorchRuntime
from vilaco.training.recipe import Recipe, load_recipe
from vilaco.training.run import TrainingSummary
from vilaco.training.self_training import train_by_forging

PHOTOS = ("bsds500/images", "imagenet_sample", "casia2_au")
SEGMENTS = "bsds500/segments"
FILES = {files: CHANGES[files] for files in ("raw", "0.75x, jpeg80")}
STEPS, SCRATCH_STEPS = 50, 200
SHORT = (
    "self_training.stream.sizes=[[192,288],[288,192],[224,336]]",
    "self_training.rounds=1",
    f"self_training.round={{steps: {STEPS}, learning_rate: 5e-4, warmup_steps: 10}}",
    "training.validation_share=0.03",
)
SCRATCH = f"self_training.round={{steps: {SCRATCH_STEPS}, learning_rate: 1e-3, warmup_steps: 50}}"
AS_STORED = ("self_training.stream.sizes=[[256,384],[384,256]]", "self_training.stream.resave_share=0")
LABELS_ALONE = (
    SCRATCH,
    "self_training.stream.real_share=1",
    "self_training.objective={pixel: 0, image: 1, consistency: 0}",
)

Start = Literal["forged stage", "nothing"]


@dataclass(frozen=True)
class Variant:
    """One row: what is set, and what it starts from: a model, or the row of that name."""

    settings: tuple[str, ...] = ()
    start: Start | str = "forged stage"
    photos: Literal["research", "free"] = "research"


def without(left_out: str) -> Variant:
    """The residual stream without one of its kinds."""
    kept = ",".join(kind for kind in KINDS if kind != left_out)
    return Variant((f"model.residuals.kinds=[{kept}]",))


PARTS = {
    "all parts": Variant(),
    "all parts, seed 1": Variant(("training.seed=1",)),
    "no vision-language features": Variant(("model.patch_features=false",)),
    **{f"no {kind} residuals": without(kind) for kind in KINDS},
    "no copy-move branch": Variant(("model.copy_move=null",)),
    "no contrastive consistency": Variant(("self_training.objective.consistency=0",)),
}
ROUNDS = {
    "one round": Variant((), "all parts"),
    "one round, seed 1": Variant(("training.seed=1",), "all parts, seed 1"),
    "two rounds": Variant(("self_training.rounds=2",), "all parts"),
    "one round, no contrastive consistency": Variant(
        ("self_training.objective.consistency=0",), "no contrastive consistency"
    ),
    "one round, real images as stored": Variant(AS_STORED, "all parts"),
    "image labels alone, no forgeries": Variant(LABELS_ALONE, "nothing"),
}
PHOTO_SETS = {
    "photos of the shipped model": Variant((SCRATCH,), "nothing"),
    "photos of free licence": Variant((SCRATCH,), "nothing", "free"),
}
WITHOUT_REAL = {**PARTS, **PHOTO_SETS}


@dataclass(frozen=True)
class Places:
    """Where things lie."""

    data: Path
    free_photos: Path | None
    forged: Path
    runs: Path

    def model(self, row: str) -> Path:
        """Model folder of a row without real images."""
        return self.runs / "without_real" / row / "model"


def recipe_of(variant: Variant) -> Recipe:
    """The short recipe with a row's settings."""
    return load_recipe("default", overrides=[*SHORT, *variant.settings])


def start_of(name: str, variant: Variant, places: Places) -> Path:
    """Model folder that a row starts from."""
    if variant.start not in ("forged stage", "nothing"):
        return places.model(variant.start)
    folder = places.runs / "starts" / name
    recipe = recipe_of(variant)
    assert isinstance(recipe.model, ViLaCoConfig)
    torch.manual_seed(recipe.training.seed)
    model = ViLaCo(recipe.model, shared_encoder(recipe.model.encoder))
    if variant.start == "forged stage":
        whole, _ = load_checkpoint(places.forged, model.encoder)
        assert isinstance(whole, ViLaCo)
        model.load_trainable_state(take_out(whole, model))
    save_checkpoint(model, folder, trained_with={})
    return folder


def take_out(whole: ViLaCo, part: ViLaCo) -> dict[str, Tensor]:
    """The weights that a network without a part goes on with: the layers behind the part lose the inputs it gave."""
    state, wanted = whole.trainable_state(), part.trainable_state()
    assert whole.residuals is not None
    assert part.residuals is not None
    kept = kept_channels(whole.residuals.front_end.evidence, part.residuals.front_end.evidence.kinds)
    left = {}
    for name, value in wanted.items():
        weight = state[name]
        if name.endswith("front_end.project.weight"):
            weight = weight[:, kept]
        left[name] = weight[:, : value.shape[1]] if weight.dim() > 1 else weight  # what copy-move gives comes last
        assert left[name].shape == value.shape, name
    return left


def kept_channels(evidence: BlockEvidence, kinds: Sequence[str]) -> list[int]:
    """Channels of the evidence that are there with these kinds alone, in order."""
    count, kept = 4, [0, 1, 2, 3]
    for kind in KINDS[:-1]:  # the learned ones are no measurements
        size = BlockEvidence((kind,)).out_channels - 4
        if kind in kinds:
            kept += range(count, count + size)
        count += size
    assert count == evidence.out_channels
    return kept


def learn(
    variant: Variant, name: str, places: Places, records: Sequence[Record], recipe: Recipe, out: Path, *, resume: bool
) -> TrainingSummary:
    """Train a row; a resumed run knows its photos."""
    if resume:
        return train_by_forging(records, recipe, out, resume=True)
    free = variant.photos == "free"
    assert places.free_photos is not None or not free
    folders = [places.free_photos] if free and places.free_photos else [places.data / each for each in PHOTOS]
    photos = [image.path for image in find_images(folders)]
    segments = [] if free else [places.data / SEGMENTS]
    start = start_of(name, variant, places)
    return train_by_forging(records, recipe, out, photos=photos, segments=segments, start_from=start)


def train_without_real(name: str, places: Places) -> None:
    """A row of the first or the third table."""
    one_thread()
    variant = WITHOUT_REAL[name]
    run = partial(learn, variant, name, places)
    train_once([], recipe_of(variant), places.model(name).parent, run=run)


def train_fold(name: str, fold: int, places: Places) -> None:
    """One model of a row of the second table."""
    one_thread()
    variant, parts = ROUNDS[name], grouped_folds(read_dataset(places.data / USERS), 2, seed=0)
    run = partial(learn, variant, f"{name}, fold {fold}", places)
    train_once(parts[1 - fold], recipe_of(variant), places.runs / "rounds" / name / f"fold{fold}", run=run)


def one_thread() -> None:
    """Leave the other cores to the other processes."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def row_without_real(name: str, places: Places) -> tuple[Predictor, Provenance]:
    """A trained row of the first or the third table."""
    recipe = recipe_of(WITHOUT_REAL[name])
    runtime = TorchRuntime.load(places.model(name), device="cpu", encoder=shared_encoder(recipe.model.encoder))
    localizer = Localizer(runtime, name=name, calibration=runtime.calibration)
    return LocalizerPredictor(localizer), Provenance(
        encoder=localizer.encoder_name, weights=localizer.fingerprint, training_seed=recipe.training.seed
    )


def row_out_of_fold(name: str, places: Places) -> tuple[Predictor, Provenance]:
    """A trained row of the second table."""
    variant = ROUNDS[name]
    recipe, run = recipe_of(variant), partial(learn, variant, name, places)
    predictor = train_out_of_fold(
        name, read_dataset(places.data / USERS), recipe, places.runs / "rounds" / name, run=run
    )
    return predictor, Provenance(
        encoder=predictor.models[0].encoder_name, weights=predictor.weights, training_seed=recipe.training.seed
    )


def background_cell(build: Row, records: Sequence[Record]) -> str:
    """AUC of the image score where the forgery is cut off: as stored / re-sized and re-saved."""
    one_thread()
    return " / ".join(f"{auc:.3f}".removeprefix("0") for auc, *_ in background_aucs(build()[0], records).values())


def table(
    rows: Sequence[str], reports: dict[tuple[str, str, str], EvaluationReport], backgrounds: dict[str, str]
) -> str:
    """One line a row: as stored / re-sized and re-saved."""
    columns = {
        "P-F1@0.5": ("wscl", "pixel_f1_per_image_mean"),
        "pixel AUC": ("full", "pixel_auc_per_image_mean"),
        "I-AUC": ("wscl", "image_auc"),
    }
    header = ["", *columns, "background AUC"] if backgrounds else ["", *columns]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for row in rows:
        values = [
            " / ".join(f"{reports[row, USERS, files][profile][name].value:.3f}".removeprefix("0") for files in FILES)
            for profile, name in columns.values()
        ]
        lines.append(f"| {' | '.join([row, *values, *([backgrounds[row]] if backgrounds else [])])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds the data sets")
    parser.add_argument("--free-photos", type=Path, help="folder of photos whose licences permit any use")
    parser.add_argument("--forged", type=Path, default=Path("runs/shipped_model/seed 0/forged_on/model"))
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that train and evaluate")
    arguments = parser.parse_args()
    places = Places(arguments.data, arguments.free_photos, arguments.forged, arguments.runs)

    photo_sets = [name for name, variant in PHOTO_SETS.items() if arguments.free_photos or variant.photos != "free"]
    records = read_dataset(places.data / USERS)
    scenes = set(sorted({str(group_key(record)) for record in records})[::5])
    judged = [record for record in records if str(group_key(record)) in scenes]
    rows: dict[str, Row] = {
        **{name: partial(row_without_real, name, places) for name in [*PARTS, *photo_sets]},
        **{name: partial(row_out_of_fold, name, places) for name in ROUNDS},
    }
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the processes to come
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        first = [pool.submit(train_without_real, name, places) for name in [*PARTS, *photo_sets]]
        for future in first:
            future.result()
        second = [pool.submit(train_fold, name, fold, places) for name in ROUNDS for fold in (0, 1)]
        for future in second:
            future.result()
        cells = pool.map(background_cell, [rows[name] for name in ROUNDS], [judged] * len(ROUNDS))
        backgrounds = dict(zip(ROUNDS, cells, strict=True))
    pairs = [(row, USERS) for row in rows]
    reports = measure(rows, {USERS: judged}, pairs, places.runs, jobs=arguments.jobs, files=FILES)
    save_figures(reports.values(), "ablation")
    tampered = sum(record.label for record in judged)
    text = f"""# Ablations of recipe `default`

`python benchmarks/ablation.py DATA --free-photos FOLDER`. Encoder `embedded`. Judged on
every fifth scene of casia1_dev, {tampered} tampered and {len(judged) - tampered} authentic images, as stored / at 0.75x
and JPEG 80. Rows
compare within their table; one seed but where said. Intervals are in `ablation.csv`; on so few images they are wide.

## Parts

A part is taken out of seed 0 of `shipped_model.md`; what is left learns on for {STEPS} steps of 8 small forgeries, as
does the whole. No image of casia1_dev was seen.

{table(list(PARTS), reports, {})}

## Self-training

From the first table's models, {STEPS} steps a round on casia1_dev with image labels, out of fold by scene.
*Image labels alone* starts from nothing and takes {SCRATCH_STEPS} steps. *As stored*: real images are neither re-sized
nor re-saved in training. Background AUC: of the image score on crops without the forgery; .5 is wanted.

{table(list(ROUNDS), reports, backgrounds)}

## Photos forged from

From scratch, {SCRATCH_STEPS} steps. Photos of free licence are too few to calibrate on as well.

{table(photo_sets, reports, {})}
"""
    write_atomically(RESULTS / "ablation.md", text.encode())
    print(text)


if __name__ == "__main__":
    main()
