import csv
import io
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from vilaco.data.records import Record
from vilaco.evaluation.evaluate import evaluate
from vilaco.evaluation.ladders import LADDERS, Ladder
from vilaco.evaluation.prediction import Prediction
from vilaco.evaluation.robustness import RobustnessReport, run_robustness
from vilaco.evaluation.tables import number, robustness_tables
from vilaco.images import Photo


class Bright:
    """Calls bright pixels tampered; its map follows whatever size the photo has."""

    name = "bright"

    def __call__(self, photo: Photo) -> Prediction:
        grey = photo.upright(photo.pixels).max(axis=2).astype(np.float32) / 255
        return Prediction(grey, float(grey.max()))


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    """Dark photos; the tampered ones have a bright square, which is their mask."""
    made = []
    rng = np.random.default_rng(0)
    for index in range(4):
        pixels = rng.integers(0, 100, (48, 64, 3), np.uint8)
        mask = np.zeros((48, 64), np.uint8)
        tampered = index % 2
        if tampered:
            mask[12:28, 20:44] = 255
            pixels[mask > 0] = 240
        image, truth = tmp_path / f"{index}.png", tmp_path / f"{index}_gt.png"
        cv2.imwrite(str(image), pixels)
        cv2.imwrite(str(truth), mask)
        made.append(Record(image, tampered, truth if tampered else None))
    return made


def run(records: list[Record], ladder: Ladder) -> RobustnessReport:
    return run_robustness(Bright(), records, ladder, ["wscl"], data="squares", resamples=20)


@pytest.mark.parametrize("ladder", LADDERS)
def test_one_row_a_figure_and_rung_with_the_drop_from_clean(records: list[Record], ladder: str) -> None:
    report = run(records, LADDERS[ladder])
    metrics = {row.metric for row in report.rows}
    assert len(report.rows) == len(metrics) * len(LADDERS[ladder].rungs)
    clean = {row.metric: row.value for row in report.rows if row.rung == "clean"}
    for row in report.rows:
        drop = clean[row.metric] - row.value
        assert (math.isnan(row.drop) and math.isnan(drop)) or row.drop == pytest.approx(drop)
    assert {evaluation.pixel_images for evaluation in report.evaluations} == {2}


def test_the_clean_rung_is_the_plain_evaluation(records: list[Record]) -> None:
    report = run(records, LADDERS["benco"])
    plain = evaluate(Bright(), records, ["wscl"], resamples=0)
    for row in report.rows:
        if row.rung == "clean":
            value = plain["wscl"][row.metric].value
            assert row.value == value or (math.isnan(value) and math.isnan(row.value))


def test_blur_hurts_and_more_blur_hurts_more(records: list[Record]) -> None:
    report = run(records, LADDERS["benco"])
    f1 = {row.rung: row.value for row in report.rows if "f1" in row.metric and "pixel" in row.metric}
    assert f1["clean"] == pytest.approx(1.0, abs=1e-3)
    assert f1["clean"] > f1["blur-11"] > f1["blur-23"]


def test_what_is_saved_can_be_read_back(records: list[Record], tmp_path: Path) -> None:
    report = run_robustness(Bright(), records, LADDERS["social"], ["wscl"], data="no $formula_$", resamples=20)
    out = tmp_path / "out"
    assert [path.name for path in report.save(out)] == [
        "robustness.json",
        "robustness.csv",
        "robustness.png",
    ]
    assert RobustnessReport.model_validate_json((out / "robustness.json").read_text()).csv() == report.csv()
    json.loads((out / "robustness.json").read_text(), parse_constant=pytest.fail)  # NaN is no JSON
    rows = list(csv.DictReader(io.StringIO((out / "robustness.csv").read_text())))
    assert len(rows) == len(report.rows)
    assert rows[0]["rung"] == "clean"
    assert cv2.imread(str(out / "robustness.png")) is not None


def test_tables_show_every_rung_within_a_terminal(records: list[Record]) -> None:
    report = run_robustness(Bright(), records, LADDERS["benco"], ["wscl", "full"], data="squares", resamples=0)
    tables = robustness_tables(report)
    assert len(tables) == len({(row.profile, row.metric) for row in report.rows})
    console = Console(width=80, file=io.StringIO())
    for table in tables:
        console.print(table)
    text = console.file.getvalue()
    first = [line.split("│") for line in text.split("wscl: image")[0].splitlines()]
    jpeg = next(index for index, cells in enumerate(first) if cells[1:2] and cells[1].strip() == "jpeg")
    levels, values, drops = ([cell.strip() for cell in first[jpeg + line][2:-1]] for line in range(3))
    rows = [r for r in report.rows if (r.profile, r.metric, r.family) == ("wscl", "pixel_f1_per_image_mean", "jpeg")]
    assert levels == ["100", "90", "80", "70", "60", "50"]
    assert values == [number(row.value) for row in rows]
    assert drops == [number(row.drop) for row in rows]
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
