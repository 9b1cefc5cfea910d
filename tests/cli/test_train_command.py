"""``vilaco train`` as a person meets it."""

import json
import os
import re
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from PIL import Image
from typer.testing import CliRunner

from vilaco.cli.train import train
from vilaco.errors import ConfigError, DataError, VilacoError
from vilaco.method.checkpoint import save_checkpoint
from vilaco.method.vilaco import ViLaCo, ViLaCoConfig
from vilaco.training.feature_cache import CachedFeatures

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(train)


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def tiny_settings(tiny_clip: Path) -> list[str]:
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
    return [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]


def add_a_page(photo: Path) -> None:
    """A file of two pictures under the name of one."""
    with Image.open(photo) as picture:
        picture.load()
    picture.save(photo, "TIFF", save_all=True, append_images=[picture])


def test_a_broken_image_is_named_counted_and_told_by_the_exit_code(
    two_piles: Path, tiny_clip: Path, tmp_path: Path
) -> None:
    (two_piles / "authentic/a03.jpg").write_bytes(b"no picture")
    for name in ("authentic/a01.jpg", "tampered/t02.jpg"):
        add_a_page(two_piles / name)
    chosen = tiny_settings(tiny_clip)
    result = run(two_piles, "--out", tmp_path / "run", "--cache", tmp_path / "cache", *chosen)
    assert result.exit_code == 3, result.output
    assert "a03.jpg: not a JPEG" in result.stderr
    assert "[not_an_image]" in result.stderr
    assert "1 images could not be read" in result.stderr
    (noted,) = [line for line in result.stderr.splitlines() if "otherwise than stored" in line]
    first = two_piles / "authentic/a01.jpg"
    assert noted == f"2 photos were read otherwise than stored: one page of several (2); the first is {first}"
    assert "held-out I-AUC" in result.stdout
    assert (tmp_path / "run/model/model.safetensors").is_file()


def test_ctrl_c_before_the_first_epoch_says_how_to_go_on(
    two_piles: Path, tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, fill = tmp_path / "my run", CachedFeatures.fill

    def fill_and_press(self: CachedFeatures, *arguments: Any, **options: Any) -> None:
        fill(self, *arguments, **options)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(CachedFeatures, "fill", fill_and_press)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background would have it ignored
    try:
        result = run(two_piles, "--out", out, "--cache", tmp_path / "cache", *tiny_settings(tiny_clip))
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    shown = result.stderr.splitlines()[-1].removeprefix("interrupted; go on with: ")
    assert shlex.split(shown) == ["vilaco", "train", str(two_piles), "--out", str(out), "--resume"]
    monkeypatch.undo()
    result = run(*shlex.split(shown)[2:], "--cache", tmp_path / "cache")
    assert result.exit_code == 0, result.output


def test_the_test_subset_of_a_list_is_never_trained_on(two_piles: Path, tiny_clip: Path, tmp_path: Path) -> None:
    entries = {
        f"{pile}{index}": {
            "subset": "val" if index == 11 else "train",
            "path": f"{pile}/{pile[0]}{index:02d}.jpg",
            "label": label,
        }
        for label, pile in enumerate(("authentic", "tampered"))
        for index in range(12)
    }
    listed, out = two_piles / "datalist.json", tmp_path / "run"
    listed.write_text(json.dumps(entries))
    refused = run(listed, "--out", out)
    assert isinstance(refused.exception, DataError)
    assert str(refused.exception).endswith("names several subsets; choose one with --subset: train, val.")

    result = run(listed, "--subset", "train", "--out", out, "--cache", tmp_path / "cache", *tiny_settings(tiny_clip))
    assert result.exit_code == 0, result.output
    facts = json.loads((out / "run.json").read_text())
    assert sum(facts["train_images"].values()) + sum(facts["validation_images"].values()) == 22


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


def forging_settings(tiny_forensic: dict[str, Any]) -> list[str]:
    values = {
        **{f"model.{name}": value for name, value in tiny_forensic.items()},
        "training.precision": "32-true",
        "training.validation_share": 0.25,
        "self_training.stream.batch_size": 4,
        "self_training.stream.sizes": [[64, 96]],
        "self_training.rounds": 1,
        "self_training.num_workers": 0,
        "self_training.forged": {"steps": 2},
        "self_training.round": {"steps": 2},
    }
    chosen = [f"{name}={yaml.safe_dump(value, default_flow_style=True, width=10**6)}" for name, value in values.items()]
    return [part for setting in chosen for part in ("--set", setting)]


def test_default_recipe_from_two_piles_to_a_model(
    two_piles: Path, tiny_forensic: dict[str, Any], tmp_path: Path
) -> None:
    settings = ["--recipe", "default", *forging_settings(tiny_forensic)]
    (two_piles / "authentic/a03.jpg").write_bytes(b"no picture")
    add_a_page(two_piles / "tampered/t02.jpg")
    out = tmp_path / "run"
    result = run(two_piles, "--out", out, *settings, "--photos", two_piles / "authentic/a04.jpg")
    assert result.exit_code == 3, result.output
    assert "a03.jpg: not a JPEG" in result.stderr
    assert "1 photo was read otherwise than stored: one page of several (1)" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout.startswith(f"{out / 'model'}  learned from image labels  held-out I-AUC 0.")
    assert "What changed" in result.stdout
    assert len(re.findall(r"held-out photos.*│ +[01]\.\d{3} │ +[01]\.\d{3} │$", result.stdout, re.MULTILINE)) == 3
    assert (out / "model/model.safetensors").is_file()

    again = run(two_piles, "--out", out, *settings)
    assert isinstance(again.exception, ConfigError)
    assert "go on with --resume" in str(again.exception)
    resumed = run(two_piles, "--out", out, "--resume")  # nothing is left to do
    assert resumed.exit_code == 3, resumed.output
    assert resumed.stdout == result.stdout

    onwards = run(two_piles, "--out", tmp_path / "next", *settings, "--from", out / "model")
    assert onwards.exit_code == 3, onwards.output
    assert [path.name for path in (tmp_path / "next/stages").iterdir()] == ["0"]
    refused = run(two_piles, "--out", tmp_path / "next", "--resume", "--from", out / "model")
    assert isinstance(refused.exception, ConfigError)
    assert "it began with" in str(refused.exception)


def test_a_folder_of_authentic_photos_alone_and_one_that_is_not(
    two_piles: Path, tiny_forensic: dict[str, Any], tmp_path: Path
) -> None:
    save_checkpoint(ViLaCo(ViLaCoConfig.model_validate(tiny_forensic)), tmp_path / "start")
    settings = [*forging_settings(tiny_forensic), "--from", tmp_path / "start"]
    (two_piles / "authentic").rename(tmp_path / "mine")
    result = run(tmp_path / "mine", "--out", tmp_path / "run", *settings)
    assert result.exit_code == 0, result.output
    assert "all its 12 photos are taken to be authentic" in result.stderr
    assert "learned from authentic photos alone" in result.stdout
    without_start = run(tmp_path / "mine", "--recipe", "default", "--out", tmp_path / "none")
    assert isinstance(without_start.exception, DataError)
    assert "no known format fits" in str(without_start.exception)
    (two_piles / "tampered").rename(tmp_path / "mine" / "Fake")
    mixed = run(tmp_path / "mine", "--out", tmp_path / "none", *settings)
    assert isinstance(mixed.exception, DataError)
    assert "no known format fits" in str(mixed.exception)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("option", ["--photos", "--segments", "--from"])
def test_what_only_forging_needs_is_refused_elsewhere(two_piles: Path, tmp_path: Path, option: str) -> None:
    result = run(two_piles, "--out", tmp_path / "run", "--recipe", "quick", option, two_piles)
    assert isinstance(result.exception, ConfigError)
    assert "are for recipes that forge; quick does not" in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_boxes_are_for_recipes_that_forge_alone(two_piles: Path, tmp_path: Path) -> None:
    result = run(two_piles, "--out", tmp_path / "run", "--boxes")  # recipe `paper` is weakly supervised
    assert isinstance(result.exception, ConfigError)
    assert "--boxes are for recipes that forge; paper does not" in str(result.exception)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--from", "no-such-model"], "no-such-model: no such model"),
        (["--photos", "no-such-folder"], "no-such-folder"),
        (["--set", "model.residuals=null", "--set", "model.copy_move=null"], "go together"),
        (["--without", "coarse"], "cannot leave out 'coarse'"),
        (["--set", "training.epochs=2"], "is not looked at"),
    ],
)
def test_wrong_use_of_a_forging_recipe_is_one_clear_line(
    two_piles: Path, tiny_forensic: dict[str, Any], tmp_path: Path, options: list[str], words: str
) -> None:
    out = tmp_path / "run"
    result = run(two_piles, "--out", out, "--recipe", "default", *forging_settings(tiny_forensic), *options)
    assert isinstance(result.exception, VilacoError)
    assert words in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not out.exists()
