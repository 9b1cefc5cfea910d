"""Race settings of a course against each other: equal budgets, the same pictures, one table.

    python benchmarks/race.py benchmarks/courses/races/photos.yaml --pool POOL.csv --photos PHOTOS --out runs/photos

A race is a YAML file: ``course`` names a course's file, ``base`` what all arms change of it, ``arms`` gives each arm
its settings by dotted name. Every arm starts from the same model, learns from as many pictures in an order fixed by the
same seed, and is judged on the same forged validation pictures; sets that models are reported on are never looked at.
A killed race goes on where it was. Arms share the encoder, its view and the kinds of residual: what is measured of the
validation pictures is kept with them. Written to ``benchmarks/results/race_NAME.json``: the figures of each arm, and
the difference in P-F1 from the first, picture by picture, with a 95% interval (bootstrap over the forged pictures).
"""

import argparse
import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from vilaco.data.pool import read_pool
from vilaco.files import write_atomically
from vilaco.method.checkpoint import load_checkpoint
from vilaco.method.vilaco import ViLaCo
from vilaco.training.course import NEWEST, VALIDATION, Course, run_course, stored_batches
from vilaco.training.picture_store import BatchStore
from vilaco.training.validation import THRESHOLDS, Curve, Judged, judge, summary

RESULTS = Path(__file__).parent / "results"
RESAMPLES = 2000


def read_race(path: Path) -> dict[str, Course]:
    """The course of each arm."""
    race = yaml.safe_load(path.read_text())
    base = {**yaml.safe_load((path.parent / race["course"]).read_text()), **race["base"]}
    return {
        name: Course.model_validate(changed(base, {"name": name, **settings}))
        for name, settings in race["arms"].items()
    }


def changed(base: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """A copy of nested settings with those of dotted names in place of what was there."""
    course = copy.deepcopy(base)
    for dotted, value in settings.items():
        *parents, last = dotted.split(".")
        place = course
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return course


def judged_by(model: ViLaCo, folder: Path, count: int) -> list[Judged]:
    """How a model draws the validation pictures of a folder, in float32."""

    def forward(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        tokens, evidence, matches = (batch[name].float() for name in ("tokens", "evidence", "matches"))
        output = model.forward_measured(tokens, evidence, batch["pixels"].float(), matches)
        return output.localization_logits.sigmoid(), output.detection_scores

    return judge(model, stored_batches(BatchStore(folder), count), forward)


def pixel_f1(judged: list[Judged]) -> np.ndarray:
    """P-F1 at 0.5 of each forged picture."""
    return np.array([picture.f1[THRESHOLDS // 2] for picture in judged if picture.label])


def difference(first: np.ndarray, second: np.ndarray) -> list[float]:
    """Mean of ``second - first`` and its 95% interval."""
    differences = second - first
    drawn = np.random.default_rng(0).integers(len(differences), size=(RESAMPLES, len(differences)))
    low, high = np.percentile(differences[drawn].mean(axis=1), [2.5, 97.5])
    return [round(float(value), 4) for value in (differences.mean(), low, high)]


def main() -> None:
    """Run what is left of the race and write its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("race", type=Path)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arms = read_race(arguments.race)
    kinds = [photo.source for photo in read_pool(arguments.pool) if photo.side == "validation"]
    table: dict[str, Any] = {}
    first: np.ndarray | None = None
    pictures_of_first = arguments.out / next(iter(arms)) / VALIDATION
    for name, course in arms.items():
        folder = arguments.out / name
        if first is not None:
            shutil.copytree(pictures_of_first, folder / VALIDATION, dirs_exist_ok=True)
        run_course(course, arguments.pool, arguments.photos, folder)
        model, _ = load_checkpoint(folder / NEWEST)
        assert isinstance(model, ViLaCo)
        judged = judged_by(model, pictures_of_first, course.validation.batches)
        first = pixel_f1(judged) if first is None else first
        row = {key: round(value, 4) for key, value in summary(judged, kinds).items()}
        pictures = course.stage.steps * course.stream.batch_size
        table[name] = {
            "pictures": pictures,
            "weights": sum(weight.numel() for weight in model.trainable_state().values()),
            "pixel_f1_at_the_start": round(Curve(folder).rows[0]["pixel_f1"], 4),
            "pixel_f1_gained": difference(first, pixel_f1(judged)),
            **row,
        }
        facts = {
            "command": f"python benchmarks/race.py {arguments.race} --pool POOL.csv --photos PHOTOS --out OUT",
            "race": yaml.safe_load(arguments.race.read_text()),
            "judged": {"forged": len(first), "all": len(judged)},
            "arms": table,
        }
        write_atomically(RESULTS / f"race_{arguments.race.stem}.json", (json.dumps(facts, indent=1) + "\n").encode())
        print(name, table[name], flush=True)


if __name__ == "__main__":
    main()
