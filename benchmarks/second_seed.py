"""The shipped model trained once more, from another seed: how much of its figures is luck.

    python benchmarks/second_seed.py ../shared/data

Trains what ``shipped_model.py`` trains as ``research``, its two stages with seed 1 in place of 0: other first weights,
other photos to calibrate on, other forgeries. It is then judged as ``shipped_model.py`` judges, on sets that it has not
seen. Takes up under ``--runs`` what is done, and may be stopped. Writes ``second_seed.csv`` and ``second_seed.md`` to
``benchmarks/results/``.
"""

import argparse
import os
from functools import partial
from pathlib import Path

from harness import RESULTS, markdown_table, measure, save_figures, train_once
from shipped_model import (
    CHANGES,
    FORGED,
    FORGED_ON,
    JUDGES,
    OTHERS,
    USERS,
    background_lines,
    forge,
    ship,
    shipped,
    summary_table,
    verdict_lines,
)
from vilaco.data.formats import read_dataset
from vilaco.files import write_atomically
from vilaco.training.recipe import Recipe

SEED, ROW = 1, "seed 1"


def seeded(recipe: Recipe) -> Recipe:
    """The same course from the other seed."""
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"seed": SEED})})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/second_seed"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that evaluate")
    arguments = parser.parse_args()
    data, runs = arguments.data, arguments.runs

    begun = train_once([], seeded(FORGED), runs / "forged", run=partial(forge, data, None))
    forged = train_once([], seeded(FORGED_ON), runs / "forged_on", run=partial(forge, data, begun))
    model = ship(forged, runs / "exported" / ROW)

    datasets = {name: read_dataset(data / name) for name in (USERS, *OTHERS)}
    pairs = [(ROW, name) for name in datasets]
    reports = measure({ROW: partial(shipped, model)}, datasets, pairs, runs, jobs=arguments.jobs, files=CHANGES)
    save_figures(reports.values(), "second_seed")
    text = """# The shipped model from another seed

`python benchmarks/second_seed.py DATA`. Encoder `embedded`; self-made forgeries only, no image of the sets seen. Raw,
re-saved at JPEG 80, and at 0.75x re-saved at JPEG 80; beside the rows of `research` in `shipped_model.md`. P-F1, I-F1
and I-AUC by profile `wscl`, pixel AUC per tampered image, then the mean; in brackets bootstrap 95% intervals over
images.

"""
    text += "\n".join(summary_table(reports)) + "\n"
    for name in datasets:
        text += f"\n## {name}\n\n" + "\n".join(markdown_table(reports, name)) + "\n"
    text += f"\n## {USERS} without the forgery, {JUDGES[ROW]}\n\n"
    text += "\n".join(background_lines(shipped(model)[0], datasets[USERS])) + "\n"
    text += "\n## False alarms at the calibrated threshold\n\n" + "\n".join(verdict_lines({ROW: model}, data)) + "\n"
    write_atomically(RESULTS / "second_seed.md", text.encode())
    print(text)


if __name__ == "__main__":
    main()
