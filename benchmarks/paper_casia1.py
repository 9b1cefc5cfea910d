"""The paper's recipe and its loss ablations on the development half of CASIA v1: two folds by scene, image labels only.

    python benchmarks/paper_casia1.py ../shared/data/casia1_dev

trains what is not trained yet under ``--runs`` (it may be stopped and started again), then writes
``benchmarks/results/paper_casia1/<row>/<files>/`` (evaluation.json, metrics.csv, images.csv) and
``benchmarks/results/paper_casia1.md``, the table. Each row is measured on the files as they are and after a common
re-save at JPEG quality 80.
"""

import argparse
from functools import partial
from pathlib import Path

from rich.progress import track

from folds import train_out_of_fold
from vilaco.data.formats import read_dataset
from vilaco.data.records import Record
from vilaco.evaluation.baselines import get_baseline
from vilaco.evaluation.evaluate import evaluate
from vilaco.evaluation.prediction import Predictor
from vilaco.evaluation.results import EvaluationReport, Figure, Provenance
from vilaco.files import write_atomically
from vilaco.training.recipe import Recipe, load_recipe

RESULTS = Path(__file__).parent / "results"
ABLATIONS: dict[str, list[str]] = {
    "vilaco": [],
    "without_coarse": ["coarse"],
    "without_fine": ["fine"],
    "without_cpc": ["consistency"],
}
BASELINES = ("all_ones", "gaussian")
FILES = {"raw": None, "jpeg80": 80}
# The 8 x 8 grid of stride 32 instead of ViT-B/16's 16 x 16 fits 100 epochs times eight trainings into two cores.
SETTINGS = ["model.encoder.output_stride=32"]
COLUMNS = {
    "P-F1@0.5": ("wscl", "pixel_f1_per_image_mean"),
    "pixel AUC": ("full", "pixel_auc_per_image_mean"),
    "I-F1": ("wscl", "image_f1_sen_spe_harmonic"),
    "I-AUC": ("wscl", "image_auc"),
}


def recipe_of(row: str) -> Recipe:
    return load_recipe("paper", overrides=SETTINGS, without=ABLATIONS[row])


def predictor_of(row: str, records: list[Record], runs: Path) -> tuple[Predictor, Provenance]:
    if row in BASELINES:
        return get_baseline(row), Provenance(image_score="the map's")
    recipe = recipe_of(row)
    predictor = train_out_of_fold(row, records, recipe, runs / row)
    score = {"both": "mean of y_coarse and y_fine", "coarse": "y_coarse", "fine": "y_fine"}
    return predictor, Provenance(
        encoder="embedded",
        image_score=score[recipe.model.score_from],
        training_seed=recipe.training.seed,
    )


def cell(figure: Figure) -> str:
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def table(reports: dict[tuple[str, str], EvaluationReport], data: str) -> str:
    any_report = next(iter(reports.values()))
    lines = [
        f"# Paper recipe on {data}, two folds by scene, image labels only",
        "",
        f"`python benchmarks/paper_casia1.py {data}`; recipe `paper` with {', '.join(SETTINGS)}; encoder `embedded`;",
        f"one training seed; {any_report.authentic} authentic and {any_report.tampered} tampered images, each judged by",
        "the model that has not seen its scene; bootstrap 95% intervals over images; P-F1, I-F1 and I-AUC by profile",
        "`wscl`, pixel AUC per tampered image, then the mean.",
        "",
        "| method | files | " + " | ".join(COLUMNS) + " |",
        "|---|---|" + "---|" * len(COLUMNS),
    ]
    for (row, files), report in reports.items():
        cells = " | ".join(cell(report[profile][name]) for profile, name in COLUMNS.values())
        lines.append(f"| {row} | {files} | {cells} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs/paper_casia1"))
    parser.add_argument("--train-only", choices=ABLATIONS, nargs="+", help="train these rows and stop")
    arguments = parser.parse_args()
    records = read_dataset(arguments.data)
    for row in arguments.train_only or []:
        predictor_of(row, records, arguments.runs)
    if arguments.train_only:
        return
    reports = {}
    for row in [*BASELINES, *ABLATIONS]:
        predictor, provenance = predictor_of(row, records, arguments.runs)
        for files, quality in FILES.items():
            report = evaluate(
                predictor,
                records,
                ("wscl", "full"),
                data=arguments.data.name,
                mask_policy="resize",
                resave_jpeg_quality=quality,
                provenance=provenance,
                progress=partial(track, description=f"{row} {files}", total=len(records)),
            )
            report.save(RESULTS / "paper_casia1" / row / files)
            reports[row, files] = report
    write_atomically(RESULTS / "paper_casia1.md", table(reports, arguments.data.name).encode())
    print((RESULTS / "paper_casia1.md").read_text())


if __name__ == "__main__":
    main()
