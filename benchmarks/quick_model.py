"""The shipped model `quick` on sets it has not seen: two copy-move sets, and authentic photos for its false alarms.

    python benchmarks/quick_model.py ../shared/data

Writes ``benchmarks/results/quick_model.csv`` (every figure) and ``quick_model.md`` (the tables).
"""

import argparse
import os
from pathlib import Path

from harness import FILES, RESULTS, cell, markdown_table, measure, save_figures
from vilaco.data.formats import read_dataset
from vilaco.data.records import AUTHENTIC, Record
from vilaco.evaluation.localizer_predictor import LocalizerPredictor
from vilaco.evaluation.prediction import Predictor
from vilaco.evaluation.results import Provenance
from vilaco.files import find_images, write_atomically
from vilaco.localizer import Localizer

FORGED = ("comofod_50", "micc_f220")
PHOTOS = ("bsds500/images", "imagenet_sample")


def quick() -> tuple[Predictor, Provenance]:
    localizer = Localizer.load("quick")
    return LocalizerPredictor(localizer), Provenance(
        encoder=localizer.encoder_name, weights=localizer.fingerprint, image_score="mean of y_coarse and y_fine"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/quick_model"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that evaluate")
    arguments = parser.parse_args()
    datasets = {name: read_dataset(arguments.data / name) for name in FORGED}
    for name in PHOTOS:
        photos = find_images([arguments.data / name])
        datasets[name.split("/")[0]] = [Record(photo.path, AUTHENTIC) for photo in photos]
    pairs = [("quick", data) for data in datasets]
    reports = measure({"quick": quick}, datasets, pairs, arguments.runs, jobs=arguments.jobs)
    save_figures(reports.values(), "quick_model")

    text = """# The shipped model `quick` on sets it has not seen

`python benchmarks/quick_model.py DATA`. P-F1, I-F1 and I-AUC by profile `wscl`, pixel AUC per tampered image, then the
mean; in brackets bootstrap 95% intervals over images.
"""
    for name in FORGED:
        text += f"\n## {name}\n\n" + "\n".join(markdown_table(reports, name)) + "\n"
    text += "\n## Authentic photos called authentic at 0.5\n\n| photos | files | images | share |\n|---|---|---|---|\n"
    for name in PHOTOS:
        data = name.split("/")[0]
        for files in FILES:
            report = reports["quick", data, files]
            share = cell(report["wscl"]["image_specificity"])
            text += f"| {data} | {files} | {report.authentic} | {share} |\n"
    write_atomically(RESULTS / "quick_model.md", text.encode())
    print(text)


if __name__ == "__main__":
    main()
