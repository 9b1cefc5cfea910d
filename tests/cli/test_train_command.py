"""``vilaco train`` as a person meets it."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from vilaco.cli.train import train
from vilaco.errors import ConfigError

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(train)


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_broken_image_is_named_counted_and_told_by_the_exit_code(
    two_piles: Path, tiny_clip: Path, tmp_path: Path
) -> None:
    (two_piles / "authentic/a03.jpg").write_bytes(b"no picture")
    settings = {
        "model.encoder.family": "clip",
        "model.encoder.checkpoint": tiny_clip,
        "model.image_size": 64,
        "model.adapter.num_heads": 4,
        "model.text_attention.num_heads": 4,
        "training.batch_size": 8,
        "training.epochs": 1,
        "training.cache_views": 1,
        "training.validation_share": 0.25,
        "training.precision": "32-true",
    }
    chosen = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    result = run(two_piles, "--out", tmp_path / "run", "--cache", tmp_path / "cache", *chosen)
    assert result.exit_code == 3, result.output
    assert "a03.jpg: not a JPEG" in result.stderr
    assert "[not_an_image]" in result.stderr
    assert "1 images could not be read" in result.stderr
    assert "held-out I-AUC" in result.stdout
    assert (tmp_path / "run/model/model.safetensors").is_file()


def test_a_folder_without_a_run_cannot_be_resumed(two_piles: Path, tmp_path: Path) -> None:
    result = run(two_piles, "--out", tmp_path / "none", "--resume")
    assert isinstance(result.exception, ConfigError)
    assert "nothing to resume" in str(result.exception)


@pytest.mark.parametrize("option", [("--set", "foo"), ("--without", "nothing"), ("--recipe", "gone.yaml")])
def test_wrong_settings_are_one_clear_line(two_piles: Path, tmp_path: Path, option: tuple[str, str]) -> None:
    result = run(two_piles, "--out", tmp_path / "run", *option)
    assert isinstance(result.exception, ConfigError)
    assert "\n" not in str(result.exception)
    assert not (tmp_path / "run").exists()
