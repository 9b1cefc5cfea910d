"""``vilaco export`` as a person meets it."""

from pathlib import Path

import onnx
import pytest
import typer
from typer.testing import CliRunner

from vilaco.calibration import Calibration
from vilaco.cli.export import export
from vilaco.errors import DataError, ModelError
from vilaco.evaluation.calibrate import write_calibrated
from vilaco.training import export as training_export

app = typer.Typer()
app.command()(export)


def test_files_sizes_and_differences_are_named(
    tiny_model: Path, exported_tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = onnx.load(exported_tiny_model / "model.onnx")
    monkeypatch.setattr(training_export, "_trace", lambda network: {"model.onnx": graph})  # tested elsewhere
    result = CliRunner().invoke(app, [str(tiny_model), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    written = tmp_path / "out/model.onnx"
    assert f"{written}  {written.stat().st_size:,} bytes" in result.stdout
    assert "differs from PyTorch: score by up to" in result.stderr
    again = CliRunner().invoke(app, [str(tiny_model), "--out", str(tmp_path / "out")])
    assert isinstance(again.exception, DataError)


def test_an_exported_model_is_not_calibrated(exported_tiny_model: Path, tmp_path: Path) -> None:
    calibration = Calibration(slope=1, offset=0, map_shift=0, authentic_scores=(0.1,), tampered_scores=(0.9,))
    with pytest.raises(ModelError, match="calibrate the one it was exported from"):
        write_calibrated(exported_tiny_model, tmp_path / "out", calibration)
