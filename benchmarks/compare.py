"""Baselines, ViLaCo and its loss ablations on casia1_dev, micc_f220, comofod_50, raw and re-saved at JPEG quality 80.

    python benchmarks/compare.py ../shared/data

Trained methods see casia1_dev only, with image labels, in two folds by scene: each of its images is judged by the model
that has not seen its scene, the other sets by the model of the first fold. Trains and evaluates what is not done yet
under ``--runs`` (it may be stopped and started again) and audits each set, then writes ``compare.csv`` (every figure),
``compare.md`` (the tables) and the audits to ``benchmarks/results/``, and ``docs/images/five_methods.jpg``.
"""

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from harness import RESULTS, Row, baseline_row, markdown_table, measure, save_figures, short_table, trained_row
from vilaco.data.formats import read_dataset
from vilaco.data.records import Record
from vilaco.evaluation.audit import AuditReport, audit_dataset
from vilaco.evaluation.baselines import BASELINES
from vilaco.files import write_atomically
from vilaco.images import encode_jpeg, load_mask, load_photo
from vilaco.report.overlay import titled_row
from vilaco.training.recipe import load_recipe
from vilaco.training.run import trainer_precision

TRAINED_ON = "casia1_dev"
ALL = [TRAINED_ON, "micc_f220", "comofod_50"]
# So that the trainings fit two cores: the 8 x 8 grid of stride 32 for ViT-B/16's 16 x 16, and 20 epochs of 100.
SETTINGS = ["model.encoder.output_stride=32", "training.epochs=20"]
RECIPES = {
    name: load_recipe(recipe, overrides=SETTINGS)
    for name, recipe in {
        "cam": "cam",
        "araslanov": "araslanov",
        "mil_fcn": "mil_fcn",
        "mil_fcn_wscl": "wscl",
        "vadclip": "vadclip",
        "vilaco": "paper",
    }.items()
}
ABLATIONS = {
    f"vilaco_without_{part}": load_recipe("paper", overrides=SETTINGS, without=[part])
    for part in ("coarse", "fine", "consistency")
}
PICTURED = ("ela", "adq1", "zero_shot", "cam", "vilaco")
PICTURE_DATA = Path("examples/photos")


def audit_once(data: str, records: Sequence[Record], runs: Path) -> AuditReport:
    """Audit a set, or take up a finished audit under ``runs``; a copy goes to the results."""
    file = runs / "audits" / f"{data}.json"
    if not file.exists():
        write_atomically(file, audit_dataset(records, data=data).model_dump_json(indent=1).encode() + b"\n")
    write_atomically(RESULTS / f"audit_{data}.json", file.read_bytes())
    return AuditReport.model_validate_json(file.read_bytes())


def audit_lines(report: AuditReport) -> list[str]:
    """The probes that must find nothing, one line each."""
    lines = ["", "| shortcut probe | files | AUC |", "|---|---|---|"]
    for probe in report.probes:
        if probe.can_be_shortcut:
            lines.append(
                f"| {probe.evidence} | {probe.history} | {probe.auc:.3f} [{probe.low:.3f}, {probe.high:.3f}] |"
            )
    return [*lines, "", *report.verdict]


def picture(rows: dict[str, Row], records: Sequence[Record]) -> np.ndarray:
    """Photo, truth and the maps of five methods, one line a tampered example photo."""
    predictors = {name: rows[name]()[0] for name in PICTURED}
    lines = []
    for record in records:
        photo = load_photo(record.path)
        mask = load_mask(PICTURE_DATA.parent / "masks" / f"{record.path.stem}.png")
        greys = {"truth": mask.astype(np.float32)}
        greys |= {name: predictor(photo).localization_map for name, predictor in predictors.items()}
        panels = [(name, np.rint(255 * grey)[..., None].repeat(3, 2).astype(np.uint8)) for name, grey in greys.items()]
        lines.append(titled_row([("photo", photo.upright(photo.pixels)), *panels]))
    width = max(line.shape[1] for line in lines)
    padded = [np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0)), constant_values=255) for line in lines]
    return np.concatenate(padded)[::2, ::2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds the three data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/compare"))
    parser.add_argument("--train-only", choices=[*RECIPES, *ABLATIONS], nargs="+", help="train these rows and stop")
    parser.add_argument("--rows", nargs="+", help="evaluate these rows only")
    parser.add_argument("--sets", nargs="+", default=ALL, help="casia1_dev and any of the others")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that evaluate")
    arguments = parser.parse_args()
    datasets = {name: read_dataset(arguments.data / name) for name in arguments.sets}
    rows: dict[str, Row] = {name: partial(baseline_row, name) for name in BASELINES}
    trained: dict[str, Row] = {
        name: partial(trained_row, name, datasets[TRAINED_ON], recipe, arguments.runs)
        for name, recipe in {**RECIPES, **ABLATIONS}.items()
    }
    for name in arguments.train_only or arguments.rows or trained:
        if name in trained:
            trained[name]()
    if arguments.train_only:
        return
    rows |= trained
    if arguments.rows:
        rows = {name: rows[name] for name in arguments.rows}
    tasks = [(row, TRAINED_ON) for row in rows]
    tasks += [(row, data) for row in rows if row not in ABLATIONS for data in datasets if data != TRAINED_ON]
    reports = measure(rows, datasets, tasks, arguments.runs, jobs=arguments.jobs)
    save_figures(reports.values(), "compare")
    chosen = "" if arguments.sets == ALL else f" --sets {' '.join(arguments.sets)}"
    chosen += f" --rows {' '.join(arguments.rows)}" if arguments.rows else ""
    text = f"""# Baselines, ViLaCo and its loss ablations in one harness

`python benchmarks/compare.py DATA{chosen}`

Trained methods: `{" ".join(SETTINGS)}`, encoder `embedded`, not CLIP, image labels
of {TRAINED_ON} only, two folds by scene, one seed, {trainer_precision("auto")}; `zero_shot` uses the same encoder
untrained. P-F1, I-F1 and I-AUC by profile `wscl`, pixel AUC per tampered image, then the mean. For each set: raw /
re-saved at JPEG quality 80; the same with bootstrap 95% intervals over images in brackets; its audit.
"""
    for data, records in datasets.items():
        report = next(report for (_, of, _), report in reports.items() if of == data)
        audit = audit_once(data, records, arguments.runs)
        text += f"\n## {data}: {report.authentic} authentic, {report.tampered} tampered\n\n"
        text += "\n".join([*short_table(reports, data), "", *markdown_table(reports, data), *audit_lines(audit)]) + "\n"
    write_atomically(RESULTS / "compare.md", text.encode())
    if set(PICTURED) <= set(rows):
        tampered = [record for record in read_dataset(PICTURE_DATA) if record.label][:4]
        write_atomically(Path("docs/images/five_methods.jpg"), encode_jpeg(picture(rows, tampered), 88))
    print(text)


if __name__ == "__main__":
    main()
