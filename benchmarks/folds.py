"""Cross-validation by scene: each image is judged by the model that has not seen its scene."""

import os
from collections.abc import Sequence
from pathlib import Path

from vilaco.data.records import Record
from vilaco.data.split import grouped_folds
from vilaco.encoders import load_encoder
from vilaco.evaluation.localizer_predictor import LocalizerPredictor
from vilaco.evaluation.prediction import Prediction, Predictor
from vilaco.images import Photo
from vilaco.localizer import Localizer
from vilaco.training.fit import train
from vilaco.training.recipe import Recipe


class OutOfFold:
    """Judge each photo by the model trained on the other folds.

    Args:
        name: What the tables call the method.
        judge_of: The predictor to ask, by the photo's file.
    """

    def __init__(self, name: str, judge_of: dict[str, Predictor]) -> None:
        self.name, self.judge_of = name, judge_of

    def __call__(self, photo: Photo) -> Prediction:
        """Judge one photo."""
        return self.judge_of[photo.source](photo)


def train_out_of_fold(
    name: str, records: Sequence[Record], recipe: Recipe, runs: Path, *, folds: int = 2, seed: int = 0
) -> OutOfFold:
    """Train one model per fold on the images of the other folds; a finished run under ``runs`` is used again."""
    encoder = load_encoder(recipe.model.encoder)
    parts = grouped_folds(records, folds, seed)
    judge_of: dict[str, Predictor] = {}
    for index, held_out in enumerate(parts):
        out = runs / f"fold{index}"
        done = out / "model" / "done"
        if not done.exists():
            others = [record for part in parts if part is not held_out for record in part]
            summary = train(others, recipe, out, resume=(out / "last.ckpt").exists(), encoder=encoder)
            if summary.interrupted:
                raise SystemExit(130)
            done.touch()
        judge = LocalizerPredictor(Localizer.load(out / "model"))
        judge_of.update({os.fspath(record.path): judge for record in held_out})
    return OutOfFold(name, judge_of)
