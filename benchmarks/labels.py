"""What a model learns from labels: the same model before and after, on photos of scenes that it did not learn from.

    python benchmarks/labels.py ../shared/data --model research --runs runs/labels

Three tables, each in two folds by scene: a photo is judged by the model that learned from the other fold.

1. *labels*: the model learns from the image labels of casia1_dev.
2. *boxes*: from boxes too, those around the parts of each mask, as a person would draw them.
3. *authentic*: it learns from the authentic photos alone of another set, of whose kind it accuses more.

Each as stored, re-saved at JPEG 80, and at 0.75x re-saved at JPEG 80. Then a curve: 10, 30, 100 and 300 pairs of one
kind of ``unseen_forgeries.py``, an authentic and a tampered picture of different photos each, made of photos of the
first fold and of casia2_au; judged on twins of the second fold, every model calibrated on the same photos.

Changes are paired: the intervals are those of the difference on the same images, drawn anew together.

Takes up under ``--runs`` what is done, and may be stopped. ``--every 8`` is a first look, at every eighth scene and
pair. Writes ``labels.csv`` (every figure), ``labels.md`` and ``labels.png``, or what ``--name`` says, to
``benchmarks/results/``.
"""

import argparse
import io
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray

from adapting import SECONDS, Photos, adapt, calibrated
from harness import RESULTS, Row, measure, save_figures, shared_encoder, train_once, train_out_of_fold
from shipped_model import CHANGES, background_aucs
from unseen_forgeries import KINDS, write_piles
from vilaco.data.boxes import Box
from vilaco.data.formats import read_dataset
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.data.split import group_key
from vilaco.evaluation.bootstrap import Statistic, bootstrap_intervals
from vilaco.evaluation.image_metrics import ImageScores, image_auc, image_tpr_at_fpr
from vilaco.evaluation.localizer_predictor import LocalizerPredictor
from vilaco.evaluation.prediction import Predictor
from vilaco.evaluation.results import EvaluationReport, Provenance
from vilaco.files import find_images, write_atomically
from vilaco.images import load_mask, load_photo
from vilaco.localizer import Localizer
from vilaco.runtimes.torch import TorchRuntime
from vilaco.training.recipe import Recipe, load_recipe
from vilaco.training.run import TrainingSummary
from vilaco.weights import find_model

USERS, MORE_HOSTS = "casia1_dev", "casia2_au"
TOLD = ("labels", "boxes", "authentic")
"""What a model may learn from."""
CURVE = "curve"
PAIRS = (10, 30, 100, 300)
LEAST_PART = 64
"""Pixels; of smaller parts of a mask, which are rough edges more often than forgeries, no box is drawn."""
FOUND = 0.5
"""Share of the tampered photos found where false alarms are counted."""
Reports = dict[tuple[str, str, str], EvaluationReport]


@dataclass(frozen=True)
class Settings:
    """What is measured, for every process alike."""

    data: Path
    model: str
    runs: Path
    overrides: tuple[str, ...]
    every: int
    kind: str
    alone: str

    def recipe(self, seed: int) -> Recipe:
        """The recipe with a seed."""
        return load_recipe("default", overrides=[*self.overrides, f"training.seed={seed}"])

    def row(self, told: str, seed: int) -> str:
        """Name of a row, and of its folder."""
        what = f"{told} of {self.alone}" if told == "authentic" else told
        return ", ".join([what, f"seed {seed}", *self.overrides])

    def set_of(self, told: str) -> str:
        """Data set that a part is measured on."""
        return self.alone if told == "authentic" else USERS

    def records(self, data: str) -> list[Record]:
        """Photos of every so many scenes of a set."""
        records = read_dataset(self.data / data)
        scenes = set(sorted({str(group_key(record)) for record in records})[:: self.every])
        return [record for record in records if str(group_key(record)) in scenes]

    @property
    def photos(self) -> Photos:
        """Who gets which photo of casia1_dev, for the curve."""
        return Photos(self.data, calibrating=60, judged=max(1, 100 // self.every))

    def pairs(self, count: int) -> list[Record]:
        """So many authentic and tampered pictures of one kind; more pairs hold fewer ones."""
        own = [record for record in self.photos.folds[0] if record.label == AUTHENTIC]
        calibrating = set(self.photos.to_calibrate())
        hosts = [record for record in own if record.path not in calibrating]
        hosts += [Record(image.path, AUTHENTIC) for image in find_images([self.data / MORE_HOSTS])]
        hosts = [hosts[i] for i in np.random.default_rng(1).permutation(len(hosts))]
        authentic, tampered = hosts[: 2 * count : 2], hosts[1 : 2 * count : 2]
        out = self.runs / "pairs" / self.kind / str(count)
        return read_dataset(write_piles(authentic, tampered, self.kind, out, seed=1, masks=False))

    def twins(self) -> list[Record]:
        """Pictures of that kind of other scenes to judge on, with masks."""
        return self.photos.twins(self.kind, self.runs)


def boxes_of_mask(mask: np.ndarray) -> tuple[Box, ...]:
    """Bounding boxes of a mask's parts ``(H, W)`` bool, of the largest alone if all are tiny."""
    _, _, parts, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    found = sorted(parts[1:].tolist(), key=lambda part: -part[cv2.CC_STAT_AREA])
    large = [part for part in found if part[cv2.CC_STAT_AREA] >= LEAST_PART] or found[:1]
    return tuple(Box(*part[:4]) for part in large)


def boxed(record: Record) -> Record:
    """A tampered record with boxes in place of its mask; as it is without one."""
    if record.label != TAMPERED or record.mask is None:
        return record
    mask, (height, width) = load_mask(record.mask, record.mask_rule), load_photo(record.path).upright_size
    if mask.shape != (height, width):
        mask = cv2.resize(mask.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)
    return replace(record, mask=None, boxes=boxes_of_mask(mask))


def learn(
    told: str, model: str, records: Sequence[Record], recipe: Recipe, out: Path, *, resume: bool
) -> TrainingSummary:
    """Learn from what is told of one fold's photos."""
    seen = list(records)
    if told == "authentic":
        seen = [record for record in records if record.label == AUTHENTIC]
    elif told == "boxes":
        seen = [boxed(record) for record in records]
    return adapt(seen, recipe, out, resume=resume, model=model, boxes=told == "boxes")


def before(settings: Settings) -> tuple[Predictor, Provenance]:
    """The model that all start from."""
    recipe, folder = settings.recipe(0), find_model(settings.model).folder
    runtime = TorchRuntime.load(folder, device="cpu", encoder=shared_encoder(recipe.model.encoder))
    localizer = Localizer(runtime, name=settings.model, calibration=runtime.calibration)
    return LocalizerPredictor(localizer), Provenance(encoder=localizer.encoder_name, weights=localizer.fingerprint)


def out_of_fold(told: str, seed: int, settings: Settings) -> tuple[Predictor, Provenance]:
    """What learned from a set; trained, unless it is."""
    name, recipe, records = settings.row(told, seed), settings.recipe(seed), settings.records(settings.set_of(told))
    run = partial(learn, told, settings.model)
    predictor = train_out_of_fold(name, records, recipe, settings.runs / name, run=run)
    encoder = predictor.models[0].encoder_name
    return predictor, Provenance(encoder=encoder, weights=predictor.weights, training_seed=seed)


def of_pairs(count: int, seed: int, settings: Settings) -> tuple[Predictor, Provenance]:
    """What learned from so many pairs; trained and calibrated, unless it is."""
    name, recipe = settings.row(f"{count} pairs", seed), settings.recipe(seed)
    run = partial(adapt, model=settings.model)
    folder = train_once(settings.pairs(count), recipe, settings.runs / name, run=run)
    folder = calibrated(folder, settings.photos.to_calibrate(), recipe)
    runtime = TorchRuntime.load(folder, device="cpu", encoder=shared_encoder(recipe.model.encoder))
    localizer = Localizer(runtime, name=name, calibration=runtime.calibration)
    return LocalizerPredictor(localizer), Provenance(
        encoder=localizer.encoder_name, weights=localizer.fingerprint, training_seed=seed
    )


# Figures and their changes


def _mean(values: NDArray, weights: NDArray) -> NDArray:
    """Weighted mean ``(R,)`` of values ``(n,)``, of which NaN count in none."""
    known = np.where(np.isnan(values), 0.0, 1.0)
    return (weights @ np.nan_to_num(values)) / (weights @ known)


def _statistics(report: EvaluationReport) -> dict[str, Statistic]:
    """Figures of an evaluation as functions of how often each image counts."""
    rows = report.images
    labels, scores = (np.array([getattr(row, name) for row in rows]) for name in ("label", "detection_score"))
    images, turned = ImageScores.of(labels, scores), ImageScores.of(1 - labels, 1 - scores)
    return {
        "P-F1@0.5": partial(_mean, np.array([row.pixel_f1 for row in rows])),
        "pixel AUC": partial(_mean, np.array([row.pixel_auc for row in rows])),
        "I-AUC": partial(image_auc, images),
        "false alarms": lambda weights: 1 - image_tpr_at_fpr(turned, weights, max_fpr=1 - FOUND),
    }


def changes(start: EvaluationReport, learned: Sequence[EvaluationReport]) -> dict[str, str]:
    """Figures of models that differ by their seed, means over them, and how far they are from those of the start.

    Returns:
        For each figure, in words: value, change, and the change's 95% interval over images.
    """
    assert all([row.path for row in report.images] == [row.path for row in start.images] for report in learned)
    old, new = _statistics(start), [_statistics(report) for report in learned]

    def mean(name: str, weights: NDArray) -> NDArray:
        return np.mean([statistics[name](weights) for statistics in new], axis=0)

    def change(name: str, weights: NDArray) -> NDArray:
        return mean(name, weights) - old[name](weights)

    once = np.ones((1, len(start.images)))
    intervals = bootstrap_intervals([partial(change, name) for name in old], len(start.images))
    return {
        name: f"{mean(name, once)[0]:.3f} ({change(name, once)[0]:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}])"
        for name, interval in zip(old, intervals, strict=True)
    }


def change_table(rows: dict[str, Sequence[str]], start: str, data: str, reports: Reports, files: Sequence[str]) -> str:
    """One line a row and re-save; a row of several reports is their mean."""
    columns = list(_statistics(reports[start, data, files[0]]))
    lines = [f"| learned from | files | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for change in files:
        old = reports[start, data, change]
        once = np.ones((1, len(old.images)))
        cells = [f"{statistic(once)[0]:.3f}" for statistic in _statistics(old).values()]
        lines.append(f"| {start}, before | {change} | {' | '.join(cells)} |")
        for name, of in rows.items():
            cells = list(changes(old, [reports[row, data, change] for row in of]).values())
            lines.append(f"| {name} | {change} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw_curve(settings: Settings, seeds: Sequence[int], reports: Reports) -> bytes:
    """P-F1 and I-AUC by the number of pairs, a dot a seed, as PNG."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = ("P-F1@0.5", "pixel AUC", "I-AUC")
    figure, axes = plt.subplots(1, len(names), figsize=(9.6, 3.2), layout="constrained")

    def value(row: str, name: str) -> float:
        report = reports[row, settings.kind, "raw"]
        return float(_statistics(report)[name](np.ones((1, len(report.images))))[0])

    counts = counts_of(settings)
    for axis, name in zip(axes, names, strict=True):
        dots = [[value(settings.row(f"{count} pairs", seed), name) for seed in seeds] for count in counts]
        axis.axhline(value(settings.model, name), color="gray", linestyle="--", label="before")
        axis.plot(counts, np.mean(dots, axis=1), label="mean of seeds")
        for column in np.transpose(dots):
            axis.scatter(counts, column, s=12, color="black")
        axis.set_xscale("log")
        axis.set_xticks(counts, map(str, counts))
        axis.minorticks_off()
        axis.set(title=name, xlabel="labelled pairs")
    axes[0].legend()
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    plt.close(figure)
    return stream.getvalue()


def counts_of(settings: Settings) -> list[int]:
    """Pairs of each point of the curve."""
    return sorted({max(10, count // settings.every) for count in PAIRS})


def background_table(builders: dict[str, Row], records: Sequence[Record]) -> str:
    """Whether a model that learned from labels tells them where the forgery is cut away."""
    lines = ["| learned from | background alone, files | AUC | crops |", "|---|---|---|---|"]
    for row, build in builders.items():
        for files, (auc, interval, count) in background_aucs(build()[0], records).items():
            lines.append(f"| {row} | {files} | {auc:.3f} [{interval.low:.3f}, {interval.high:.3f}] | {count} |")
    return "\n".join(lines)


def seconds_of(folder: Path) -> float:
    """Processor time of a row's trainings."""
    return sum(float(file.read_text()) for file in folder.rglob(SECONDS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds the data sets")
    parser.add_argument("--model", default="research", help="that all start from")
    parser.add_argument("--runs", type=Path, default=Path("runs/labels"))
    parser.add_argument("--parts", nargs="+", choices=[*TOLD, CURVE], default=[*TOLD, CURVE])
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--steps", type=int, help="of a round; the recipe's own if not given")
    parser.add_argument("--settings", nargs="+", default=[], help="of the recipe, such as self_training.rounds=2")
    parser.add_argument("--kind", choices=KINDS, default="detail", help="of the curve")
    parser.add_argument("--alone", default="comofod_50", help="set whose authentic photos alone are learned from")
    parser.add_argument("--every", type=int, default=1, help="look at every so many scenes and pairs alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that evaluate")
    parser.add_argument("--name", default="labels", help="of the result files")
    arguments = parser.parse_args()
    steps = [] if arguments.steps is None else [f"self_training.round.steps={arguments.steps}"]
    weights = Localizer.load(arguments.model).fingerprint[:12]
    settings = Settings(
        data=arguments.data,
        model=arguments.model,
        runs=arguments.runs / weights / f"every {arguments.every}",
        overrides=(*steps, *arguments.settings),
        every=arguments.every,
        kind=arguments.kind,
        alone=arguments.alone,
    )
    seeds, told = range(arguments.seeds), [part for part in TOLD if part in arguments.parts]
    builders: dict[str, Row] = {settings.model: partial(before, settings)}
    names: dict[str, list[str]] = {}
    for part in told:
        names[part] = [settings.row(part, seed) for seed in seeds]
        builders |= {settings.row(part, seed): partial(out_of_fold, part, seed, settings) for seed in seeds}
    for count in counts_of(settings) if CURVE in arguments.parts else []:
        names[f"{count} pairs"] = [settings.row(f"{count} pairs", seed) for seed in seeds]
        builders |= {settings.row(f"{count} pairs", seed): partial(of_pairs, count, seed, settings) for seed in seeds}
    for build in builders.values():
        build()

    reports: Reports = {}
    datasets: dict[str, Sequence[Record]] = {}
    rows: dict[str, list[str]] = {}
    files: dict[str, dict[str, Any]] = {}
    for part in told:
        data = settings.set_of(part)
        datasets[data], files[data] = settings.records(data), CHANGES
        rows.setdefault(data, [settings.model]).extend(names[part])
    if CURVE in arguments.parts:
        datasets[settings.kind], files[settings.kind] = settings.twins(), {"raw": CHANGES["raw"]}
        rows[settings.kind] = [settings.model, *(row for name in names if name not in told for row in names[name])]
    for data in datasets:
        pairs = [(row, data) for row in rows[data]]
        reports |= measure(builders, datasets, pairs, settings.runs, jobs=arguments.jobs, files=files[data])
    save_figures(reports.values(), arguments.name)

    words = ["--model", arguments.model, "--seeds", str(arguments.seeds), "--parts", *arguments.parts]
    words += ["--kind", arguments.kind] if CURVE in arguments.parts else []
    words += ["--alone", arguments.alone] if "authentic" in told else []
    words += ["--steps", str(arguments.steps)] if arguments.steps is not None else []
    words += ["--every", str(arguments.every)] if arguments.every > 1 else []
    words += ["--settings", *arguments.settings] if arguments.settings else []
    course = settings.recipe(0).self_training
    assert course is not None
    text = f"""# What a model learns from labels

    {shlex.join(["python", "benchmarks/labels.py", "DATA", *words])}

Encoder `embedded`, model `{settings.model}`, weights {weights}, and {course.rounds} x {course.round.steps} steps.
P-F1 per tampered image at 0.5, pixel AUC likewise, then the mean. False alarms: share of authentic photos that score
above the median of the tampered ones. In parentheses the change against the model before, and its bootstrap 95%
interval over images, of both models drawn together; rows without a seed are means over {arguments.seeds} seeds.
"""
    for part in told:
        each = {f"{part}, seed {seed}": [row] for seed, row in zip(seeds, names[part], strict=True)}
        data = settings.set_of(part)
        table = change_table({part: names[part]} | each, settings.model, data, reports, list(CHANGES))
        text += f"\n## {data}, told {part}\n\n{len(datasets[data])} photos in two folds by scene.\n\n{table}\n"
    if told_labels := {row: builders[row] for part in told if part != "authentic" for row in names[part][:1]}:
        text += f"\n## {USERS} without the forgery\n\n{background_table(told_labels, settings.records(USERS))}\n"
    if CURVE in arguments.parts:
        of_pairs_rows = {name: of for name, of in names.items() if name.endswith(" pairs")}
        table = change_table(of_pairs_rows, settings.model, settings.kind, reports, ["raw"])
        text += f"\n## Pairs of one kind, `{settings.kind}`\n\n![by pairs]({arguments.name}.png)\n\n{table}\n"
        write_atomically(RESULTS / f"{arguments.name}.png", draw_curve(settings, seeds, reports))
    lines = [f"- {row}: {seconds_of(settings.runs / row):.0f} s" for of in names.values() for row in of]
    text += "\n## Processor time of training\n\n" + "\n".join(lines) + "\n"
    write_atomically(RESULTS / f"{arguments.name}.md", text.encode())
    print(text)


if __name__ == "__main__":
    main()
