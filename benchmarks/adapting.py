"""Adapt the shipped model to kinds of forgery that it has not seen, from image labels alone.

    python benchmarks/adapting.py ../shared/data

The authentic photos of casia1_dev, which the shipped model has not seen, in two folds by scene. From one come, for each
kind of ``unseen_forgeries.py``, two piles to adapt with, 60 authentic and 60 tampered pictures of different photos
without any mask, and 60 photos that calibrate. From the other come 100 authentic pictures and their tampered twins,
with masks, to judge on; and 50 + 50 pictures of casia1_dev itself, to see what is forgotten. Every picture of a pile,
whatever its label, went through a random history of saves, crops and sizes.

``--short`` is a first look: 60 steps at small sizes in place of the recipe's own, and fewer pictures. Takes up under
``--runs`` what is done, and may be stopped. ``--set`` tries other settings, to be chosen on other kinds than those
reported. Writes ``adapting.csv`` and ``adapting.md``, or what ``--name`` says, to ``benchmarks/results/``.
"""

import argparse
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from rich.progress import track

from harness import RESULTS, cell, save_figures, shared_encoder, train_once
from shipped_model import background_aucs
from unseen_forgeries import KINDS, write_piles
from vilaco.data.formats import read_dataset
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.data.split import grouped_folds
from vilaco.evaluation.calibrate import calibrate, write_calibrated
from vilaco.evaluation.evaluate import evaluate
from vilaco.evaluation.localizer_predictor import LocalizerPredictor, model_provenance
from vilaco.evaluation.results import EvaluationReport
from vilaco.files import write_atomically
from vilaco.localizer import Localizer
from vilaco.method.checkpoint import CONFIG, CheckpointConfig
from vilaco.runtimes.torch import TorchRuntime
from vilaco.training.recipe import Recipe, load_recipe
from vilaco.training.run import TrainingSummary
from vilaco.training.self_training import train_by_forging
from vilaco.weights import find_model

SHIPPED, PHOTOS = "research", "casia1_dev"
PILE = 60  # photos of each label to adapt with
SECONDS = "processor_seconds"
SHORT = (
    "self_training.stream.sizes=[[192,288],[288,192],[224,336]]",
    "self_training.round={steps: 60, warmup_steps: 10}",
)
FIGURES = {
    "P-F1@0.5": ("wscl", "pixel_f1_per_image_mean"),
    "pixel AUC": ("full", "pixel_auc_per_image_mean"),
    "I-AUC": ("wscl", "image_auc"),
}


@dataclass(frozen=True)
class Photos:
    """Who gets which authentic photo.

    Attributes:
        data: Folder that holds casia1_dev.
        calibrating: Photos that calibrate.
        judged: Pairs of twins to judge on.
        kept: Pictures of casia1_dev itself, of each label.
    """

    data: Path
    calibrating: int = 60
    judged: int = 100
    kept: int = 50

    @cached_property
    def folds(self) -> tuple[list[Record], list[Record]]:
        """Records to adapt with, and to judge on, shuffled; no scene is on both sides."""
        rng = np.random.default_rng(0)
        first, second = (
            [fold[i] for i in rng.permutation(len(fold))]
            for fold in grouped_folds(read_dataset(self.data / PHOTOS), 2, seed=0)
        )
        return first, second

    def _authentic(self, fold: int) -> list[Record]:
        return [record for record in self.folds[fold] if record.label == AUTHENTIC]

    def to_adapt(self) -> list[Record]:
        """Photos that the piles are made from."""
        return self._authentic(0)[: 2 * PILE]

    def piles(self, kind: str, runs: Path) -> list[Record]:
        """Two piles to adapt with."""
        photos = self.to_adapt()
        manifest = write_piles(photos[:PILE], photos[PILE:], kind, runs / "piles" / kind, seed=1, masks=False)
        return read_dataset(manifest)

    def to_calibrate(self) -> list[Path]:
        """Photos in neither pile."""
        return [record.path for record in self._authentic(0)[2 * PILE : 2 * PILE + self.calibrating]]

    def twins(self, kind: str, runs: Path) -> list[Record]:
        """Authentic and tampered pictures to judge on."""
        photos = self._authentic(1)[: self.judged]
        return read_dataset(write_piles(photos, photos, kind, runs / "judged" / kind, seed=2, masks=True))

    def of_casia(self) -> list[Record]:
        """Pictures of casia1_dev itself."""
        tampered = [record for record in self.folds[1] if record.label == TAMPERED and record.mask]
        return self._authentic(1)[-self.kept :] + tampered[: self.kept]


def adapt(
    records: Sequence[Record], recipe: Recipe, out: Path, *, resume: bool, model: str = SHIPPED, boxes: bool = False
) -> TrainingSummary:
    """What ``vilaco train PILES --recipe default --from MODEL`` does; a resumed run knows its model and boxes."""
    before, spent = sum(os.times()[:4]), out / SECONDS
    if resume:
        summary = train_by_forging(records, recipe, out, resume=True)
    else:
        summary = train_by_forging(records, recipe, out, start_from=find_model(model).folder, boxes=boxes)
    earlier = float(spent.read_text()) if spent.exists() else 0.0
    write_atomically(spent, f"{earlier + sum(os.times()[:4]) - before:.1f}".encode())
    return summary


def calibrated(trained: Path, photos: Sequence[Path], recipe: Recipe) -> Path:
    """A calibrated copy beside the model."""
    out = trained.with_name("calibrated")
    if not (out / CONFIG).exists():
        localizer = Localizer(TorchRuntime.load(trained, encoder=shared_encoder(recipe.model.encoder)), name="adapted")
        report = calibrate(localizer, photos, progress=partial(track, description="calibrating"))
        write_calibrated(trained, out, report.calibration)
    return out


def judge(name: str, model: Path, recipe: Recipe, records: Sequence[Record], data: str, runs: Path) -> EvaluationReport:
    """Measure a model on a set, unless that is done."""
    folder = runs / "evaluations" / data / name
    if (folder / "evaluation.json").exists():
        return EvaluationReport.model_validate_json((folder / "evaluation.json").read_bytes())
    runtime = TorchRuntime.load(model, encoder=shared_encoder(recipe.model.encoder))
    localizer = Localizer(runtime, name=name, calibration=runtime.calibration)
    report = evaluate(
        LocalizerPredictor(localizer),
        records,
        ("wscl", "full"),
        data=data,
        mask_policy="resize",
        provenance=model_provenance(localizer, model),
        progress=partial(track, description=f"{name} on {data}"),
    )
    report.save(folder)
    return report


def table(reports: Sequence[EvaluationReport], models: dict[str, Path]) -> list[str]:
    """One line a model."""
    columns = [*FIGURES, "found", "false alarms"]
    lines = [f"| model | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for report in reports:
        config = CheckpointConfig.model_validate_json((models[report.method] / CONFIG).read_bytes())
        assert config.calibration is not None
        decision = config.calibration.thresholds().decision
        cells = [cell(report[profile][name]) for profile, name in FIGURES.values()]
        for label in (TAMPERED, AUTHENTIC):
            called = [row.detection_score > decision for row in report.images if row.label == label]
            cells.append(f"{sum(called)} of {len(called)}")
        lines.append(f"| {report.method} | {' | '.join(cells)} |")
    return lines


def background_lines(
    photos: Photos, models: dict[str, Path], kind_of: dict[str, str], recipe: Recipe, runs: Path
) -> list[str]:
    """Whether each adapted model tells the label of its kind's pictures where the forgery is cut away."""
    lines = ["| model | background alone, AUC | crops |", "|---|---|---|"]
    for name, kind in kind_of.items():
        runtime = TorchRuntime.load(models[name], encoder=shared_encoder(recipe.model.encoder))
        predictor = LocalizerPredictor(Localizer(runtime, name=name, calibration=runtime.calibration))
        auc, interval, count = background_aucs(predictor, photos.twins(kind, runs))["raw"]
        lines.append(f"| {name} | {auc:.3f} [{interval.low:.3f}, {interval.high:.3f}] | {count} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds casia1_dev")
    parser.add_argument("--runs", type=Path, default=Path("runs/adapting"))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--short", action="store_true", help="fewer steps, small pictures")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="a setting of the recipe")
    parser.add_argument("--name", default="adapting", help="of the result files")
    arguments = parser.parse_args()
    runs = arguments.runs / ("short" if arguments.short else "whole")
    settings = [*(SHORT if arguments.short else ()), *arguments.settings]
    counts = {"calibrating": 24, "judged": 40, "kept": 25} if arguments.short else {}
    photos = Photos(arguments.data, **counts)
    recipe = load_recipe("default", overrides=settings)
    models = {SHIPPED: find_model(SHIPPED).folder}
    kind_of = {}
    for kind in arguments.kinds:
        for seed in arguments.seeds:
            seeded = load_recipe("default", overrides=[*settings, f"training.seed={seed}"])
            name = ", ".join([f"adapted to {kind}", f"seed {seed}", *arguments.settings])
            kind_of[name] = kind
            trained = train_once(photos.piles(kind, runs), seeded, runs / name, run=adapt)
            models[name] = calibrated(trained, photos.to_calibrate(), recipe)
    sets = {kind: photos.twins(kind, runs) for kind in arguments.kinds} | {PHOTOS: photos.of_casia()}
    reports = {
        data: [
            judge(name, model, recipe, records, data, runs)
            for name, model in models.items()
            if kind_of.get(name, data) == data or data == PHOTOS
        ]
        for data, records in sets.items()
    }
    save_figures([report for of_set in reports.values() for report in of_set], arguments.name)
    spent = {name: float((runs / name / SECONDS).read_text()) for name in kind_of}
    words = ["--kinds", *arguments.kinds, "--seeds", *map(str, arguments.seeds)]
    words += ["--short"] * arguments.short + [word for setting in arguments.settings for word in ("--set", setting)]
    command = shlex.join(["python", "benchmarks/adapting.py", "DATA", *words])
    assert recipe.self_training is not None
    weights = Localizer.load(SHIPPED).fingerprint[:12]
    text = f"""# Adapting the shipped model to kinds of forgery it has not seen

    {command}

Encoder `embedded`, model `{SHIPPED}`, weights {weights}. {PILE} authentic and {PILE} tampered pictures to adapt with,
image labels only, {recipe.self_training.round.steps} steps; judged on {photos.judged} other authentic pictures and
their tampered twins, of other scenes. The adapted models are calibrated on {photos.calibrating} authentic photos. P-F1
and I-AUC by profile `wscl`, pixel AUC per tampered image, then the mean; in brackets bootstrap 95% intervals over
images. Found and false alarms: tampered and authentic pictures called tampered at each model's own threshold.
"""
    for data, of_set in reports.items():
        text += f"\n## {data}\n\n" + "\n".join(table(of_set, models)) + "\n"
    text += "\n## Without the forgery\n\n"
    text += "\n".join(background_lines(photos, models, kind_of, recipe, runs)) + "\n"
    text += "\n## Processor time of adapting\n\n"
    text += "\n".join(f"- {name}: {seconds:.0f} s" for name, seconds in spent.items()) + "\n"
    write_atomically(RESULTS / f"{arguments.name}.md", text.encode())
    print(text)


if __name__ == "__main__":
    main()
