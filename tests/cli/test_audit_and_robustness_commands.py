"""``vilaco audit`` and ``vilaco robustness`` as a person meets them."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from vilaco.cli.audit import audit
from vilaco.cli.robustness import robustness
from vilaco.errors import ConfigError, DataError, VilacoError

app = typer.Typer()
app.command()(audit)
app.command()(robustness)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of photos; the tampered ones were saved at another quality."""
    root = tmp_path_factory.mktemp("cli") / "photos[raw]"  # tables must not take it for a style
    rng = np.random.default_rng(0)
    for index in range(16):
        folder, quality = (("authentic", 95), ("tampered", 60))[index % 2]
        (root / folder).mkdir(parents=True, exist_ok=True)
        rough = cv2.resize(rng.integers(0, 256, (8, 12, 3), np.uint8), (96, 64))
        path = root / folder / f"{index}.jpg"
        cv2.imwrite(str(path), rough, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return root


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_audit_prints_the_verdict_and_writes_the_page(data: Path, tmp_path: Path) -> None:
    result = run("audit", data, "--folds", "2", "--out", tmp_path / "audit")
    assert result.exit_code == 0, result.output
    assert "Shortcut audit of photos[raw]" in result.stdout
    assert "Labels of photos[raw] can be told from" in " ".join(result.stdout.split())
    assert "wrote audit.json, audit.html" in result.stderr
    assert json.loads((tmp_path / "audit/audit.json").read_text())["counts"]["records"] == 16
    assert (tmp_path / "audit/audit.html").read_text().startswith("<!doctype html>")


def test_audit_as_json_with_a_baseline_for_a_model(data: Path) -> None:
    result = run("audit", data, "--folds", "2", "--baseline", "noi1", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["model"]["name"] == "noi1"


def test_audit_finishes_and_says_so_when_a_file_is_broken(data: Path, tmp_path: Path) -> None:
    rows = [f"{path},{int(path.parent.name == 'tampered')}" for path in sorted(data.rglob("*.jpg"))]
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    manifest = tmp_path / "list.csv"
    manifest.write_text("\n".join(["path,label", *rows, "broken.jpg,0"]) + "\n")
    result = run("audit", manifest, "--folds", "2", "--json")
    assert result.exit_code == 3
    assert "broken.jpg" in result.stderr
    assert json.loads(result.stdout)["counts"]["unreadable"] == 1


def test_audit_refuses_a_set_that_is_too_small_in_one_line(data: Path) -> None:
    result = run("audit", data, "--folds", "8")
    assert isinstance(result.exception, DataError)
    assert "8 folds need 16 readable authentic images" in str(result.exception)


def test_robustness_prints_a_row_a_rung_and_writes_its_files(data: Path, tmp_path: Path) -> None:
    result = run(
        *("robustness", "--baseline", "gaussian", "--data", data, "--ladder", "social"),
        *("--resamples", "0", "--out", tmp_path / "out"),
    )
    assert result.exit_code == 0, result.output
    for words in ("gaussian on photos[raw]", "clean .", "resize-960-jpeg", "screenshot", "image_auc"):
        assert words in result.stdout
    rows = list(csv.DictReader((tmp_path / "out/robustness.csv").read_text().splitlines()))
    assert len({row["rung"] for row in rows}) == 11
    assert (tmp_path / "out/robustness.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ladder", "bench", "--baseline", "ela"], "no ladder 'bench'; there are benco, social"),
        ([], "give one of --model, --baseline; got none"),
        (["--baseline", "ela", "--model", "quick"], "got --model and --baseline"),
        (["--baseline", "elah"], "did you mean 'ela'"),
    ],
)
def test_robustness_answers_wrong_use_in_one_line(data: Path, arguments: list[str], words: str) -> None:
    result = run("robustness", "--data", data, *arguments)
    assert isinstance(result.exception, ConfigError)
    assert words in str(result.exception)


@pytest.mark.parametrize("command", [["audit"], ["robustness", "--baseline", "ela", "--data"]])
def test_a_folder_that_cannot_be_written_is_refused_before_any_work(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    result = run(*command, "gone.csv", "--out", tmp_path / "taken/out")
    assert isinstance(result.exception, VilacoError)
    assert f"{tmp_path}/taken/out: cannot be written ({tmp_path}/taken is not a folder)" in str(result.exception)


@pytest.mark.parametrize("command", ["audit", "robustness"])
def test_help_shows_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"vilaco {command}" in result.stdout
