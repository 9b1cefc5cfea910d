"""The paper's recipe and its loss ablations on the development half of CASIA v1, from image labels only.

    python benchmarks/paper_casia1.py ../shared/data/casia1_dev

Two folds by scene; each image is judged by the model that has not seen its scene. Trains what is not trained yet under
``--runs`` (it may be stopped and started again), then writes ``benchmarks/results/paper_casia1/`` (evaluation.json,
metrics.csv and images.csv of every row) and ``benchmarks/results/paper_casia1.md``, the table.
"""

import argparse
import os
from functools import partial
from pathlib import Path

from harness import RESULTS, Row, baseline_row, markdown_table, measure, trained_row
from vilaco.data.formats import read_dataset
from vilaco.files import write_atomically
from vilaco.training.recipe import Recipe, load_recipe

ABLATIONS: dict[str, list[str]] = {
    "vilaco": [],
    "without_coarse": ["coarse"],
    "without_fine": ["fine"],
    "without_cpc": ["consistency"],
}
# So that eight trainings fit two cores: the 8 x 8 grid of stride 32 for ViT-B/16's 16 x 16, and 20 epochs of 100.
SETTINGS = ["model.encoder.output_stride=32", "training.epochs=20"]


def recipe_of(row: str) -> Recipe:
    return load_recipe("paper", overrides=SETTINGS, without=ABLATIONS[row])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs/paper_casia1"))
    parser.add_argument("--train-only", choices=ABLATIONS, nargs="+", help="train these rows and stop")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that evaluate")
    arguments = parser.parse_args()
    data, records = arguments.data.name, read_dataset(arguments.data)
    for row in arguments.train_only or ABLATIONS:
        trained_row(row, records, recipe_of(row), arguments.runs)
    if arguments.train_only:
        return
    rows: dict[str, Row] = {name: partial(baseline_row, name) for name in ("all_ones", "gaussian")}
    rows |= {name: partial(trained_row, name, records, recipe_of(name), arguments.runs) for name in ABLATIONS}
    reports = measure(rows, {data: records}, RESULTS / "paper_casia1", jobs=arguments.jobs)
    report = next(iter(reports.values()))
    text = f"""# The paper's recipe on {data}

`python benchmarks/paper_casia1.py {data}`: recipe `paper` with `{" ".join(SETTINGS)}`; encoder
`embedded`, not CLIP; image labels only; {report.authentic} authentic, {report.tampered} tampered images in two folds by
scene, each image judged by the model that has not seen its scene; one training seed. P-F1, I-F1 and I-AUC by profile
`wscl`, pixel AUC per tampered image, then the mean; in brackets bootstrap 95% intervals over images.

"""
    text += "\n".join(markdown_table(reports, data)) + "\n"
    write_atomically(RESULTS / "paper_casia1.md", text.encode())
    print(text)


if __name__ == "__main__":
    main()
