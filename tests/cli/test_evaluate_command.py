"""``vilaco evaluate`` as a person meets it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from vilaco.cli.evaluate import evaluate
from vilaco.errors import VilacoError
from vilaco.evaluation.results import EvaluationReport

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(evaluate)


def run(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four authentic and four tampered pictures with a manifest; another tool's masks, half of them right."""
    folder = tmp_path / "photos"
    (folder / "masks").mkdir(parents=True)
    (tmp_path / "tool").mkdir()
    rng = np.random.default_rng(0)
    lines = ["path,label,mask,group"]
    for index in range(8):
        tampered = index >= 4
        pixels = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
        mask = np.zeros((48, 64), np.uint8)
        if tampered:
            mask[10:30, 10:40] = 255
            Image.fromarray(mask).save(folder / f"masks/{index}.png")
        Image.fromarray(mask if index % 2 else mask * 0).save(tmp_path / f"tool/{index}.png")
        lines.append(f"{index}.png,{int(tampered)},{f'masks/{index}.png' if tampered else ''},s{index}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder / "manifest.csv"


def test_saved_masks_of_another_tool(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("--predictions", tmp_path / "tool", "--data", data, "--profile", "wscl,full", "--out", out)
    assert result.exit_code == 0, result.output
    assert "tool on photos (measured)" in result.stdout
    assert "pixel_f1_per_image_mean" in result.stdout
    assert ".500" in result.stdout
    assert "published" not in result.stdout
    names = {"evaluation.json", "metrics.csv", "images.csv", "roc.png", "pr.png", "gallery.png"}
    assert {path.name for path in out.iterdir()} == names
    report = EvaluationReport.model_validate_json((out / "evaluation.json").read_text())
    assert report["wscl"]["pixel_f1_per_image_mean"].value == pytest.approx(0.5)
    assert report["wscl"]["image_f1_sen_spe_harmonic"].value == pytest.approx(2 * 0.5 / 1.5)
    rows = list(csv.DictReader((out / "metrics.csv").read_text().splitlines()))
    assert rows[0]["profile"] == "wscl"
    assert rows[0]["image_score"] == "saved score, else maximum of the map"


def test_images_read_otherwise_than_stored_are_counted_in_one_line(data: Path) -> None:
    for index in (2, 5):
        with Image.open(data.parent / f"{index}.png") as picture:
            picture.load()
        picture.save(data.parent / f"{index}.png", "TIFF", save_all=True, append_images=[picture])
    result = run("--baseline", "ela", "--data", data, "--json")
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stderr.splitlines() if "otherwise than stored" in line]
    assert line == "2 photos were read otherwise than stored: one page of several (2); the first is 2.png"
    noted = EvaluationReport.model_validate_json(result.stdout).noted
    assert noted is not None
    assert (noted.photos, noted.first) == (2, "2.png")


def test_json_is_the_report_and_goes_to_stdout_alone(data: Path) -> None:
    result = run("--baseline", "ela", "--data", data, "--json", "--resave-jpeg", 80)
    report = EvaluationReport.model_validate_json(result.stdout)
    assert report.preprocessing == "JPEG 80"
    assert report.records == 8


def test_one_subset_of_a_list_that_names_several(data: Path) -> None:
    subsets = {"train": range(3), "val": range(3, 8)}
    entries = {
        f"{index}.png": {"subset": subset, "path": f"{index}.png", "label": int(index >= 4)}
        for subset, numbers in subsets.items()
        for index in numbers
    }
    listed = data.parent / "datalist.json"
    listed.write_text(json.dumps(entries))
    for chosen, records in (((), 8), (("--subset", "val"), 5)):
        result = run("--baseline", "all_ones", "--data", listed, "--json", *chosen)
        assert EvaluationReport.model_validate_json(result.stdout).records == records


def test_a_missing_prediction_is_named_and_the_exit_code_says_so(data: Path, tmp_path: Path) -> None:
    (tmp_path / "tool/5.png").unlink()
    result = run("--predictions", tmp_path / "tool", "--data", data)
    assert result.exit_code == 3
    assert "5.png: no prediction named 5.*" in result.stderr
    assert "skipped: 1 (1 prediction_missing)" in result.stdout


def test_predictions_of_no_image_are_named(data: Path, tmp_path: Path) -> None:
    (tmp_path / "tool/5.png").rename(tmp_path / "tool/five.png")
    result = run("--predictions", tmp_path / "tool", "--data", data)
    assert "1 predictions were used for no image: five.png" in result.stderr


def test_published_figures_stand_apart(data: Path, tmp_path: Path) -> None:
    alone = run("--compare", "published")
    assert alone.exit_code == 0
    assert "P-F1 (published)" in alone.stdout
    assert "measured)" not in alone.stdout
    beside = run("--predictions", tmp_path / "tool", "--data", data, "--compare", "published", "--json")
    answer = json.loads(beside.stdout)
    assert set(answer) == {"measured", "published"}
    assert answer["measured"]["method"] == "tool"
    assert answer["published"][0]["rows"][0]["method"] == "NOI1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give one of --model, --baseline, --predictions; got none"),
        (("--model", "a", "--baseline", "b"), "got --model and --baseline"),
        (("--predictions", "nowhere"), "--data is missing"),
        (("--predictions", "p", "--data", "DATA", "--resave-jpeg", "80"), "cannot reach saved predictions"),
        (("--predictions", "nowhere", "--data", "DATA"), "nowhere: no such folder"),
        (("--predictions", "nowhere", "--data", "DATA", "--profile", "wsc"), "profile 'wsc' does not exist"),
        (("--predictions", "nowhere", "--data", "gone.csv"), "gone.csv"),
        (("--baseline", "ela", "--data", "gone.csv", "--out", "DATA"), "manifest.csv: cannot be written"),
    ],
)
def test_wrong_use_is_one_clear_line(data: Path, arguments: tuple[str, ...], words: str) -> None:
    result = run(*(data if argument == "DATA" else argument for argument in arguments))
    assert isinstance(result.exception, VilacoError)
    assert words in str(result.exception)
    assert "\n" not in str(result.exception)


def test_help_shows_an_example() -> None:
    assert "vilaco evaluate --model research" in run("--help").stdout
