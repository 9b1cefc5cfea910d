"""Every baseline goes through the same trainer, localizer and command line as ViLaCo."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from vilaco.cli.main import app
from vilaco.data.formats import read_dataset
from vilaco.localizer import Localizer
from vilaco.method.methods import METHODS
from vilaco.training.callbacks import LAST
from vilaco.training.fit import train
from vilaco.training.recipe import Recipe, load_recipe

BASELINES = sorted(set(METHODS) - {"vilaco"})


def tiny_settings(tiny_clip: Path, name: str) -> list[str]:
    boxes = ["model.adapter.num_heads=4"] if name == "vadclip" else ["model.head.channels=16"]
    return [
        "model.encoder.family=clip",
        f"model.encoder.checkpoint={tiny_clip}",
        "model.image_size=64",
        *boxes,
        "training.batch_size=8",
        "training.epochs=1",
        "training.cache_views=2",
        "training.validation_share=0.25",
        "training.precision=32-true",
    ]


def tiny_recipe(tiny_clip: Path, name: str) -> Recipe:
    return load_recipe(name, overrides=tiny_settings(tiny_clip, name))


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_trains_loads_alone_and_never_sees_a_mask(
    two_piles: Path, tiny_clip: Path, tmp_path: Path, name: str
) -> None:
    recipe = tiny_recipe(tiny_clip, name)
    with_masks = read_dataset(two_piles)
    assert any(record.mask for record in with_masks)
    train(with_masks, recipe, tmp_path / "with", cache_root=tmp_path / "cache")
    shutil.rmtree(two_piles / "masks")
    train(read_dataset(two_piles), recipe, tmp_path / "without", cache_root=tmp_path / "cache")
    first, second = (torch.load(tmp_path / run / LAST, weights_only=True)["state_dict"] for run in ("with", "without"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not [key for key in first if key.startswith("encoder.")]

    result = Localizer.load(tmp_path / "with/model")(two_piles / "tampered/t00.jpg")
    assert result.localization_map.shape == (72, 96)
    assert np.isfinite(result.localization_map).all()
    assert 0 <= result.detection_score <= 1


def test_train_detect_and_evaluate_from_the_command_line(two_piles: Path, tiny_clip: Path, tmp_path: Path) -> None:
    def run(*words: object) -> str:
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        return result.output

    chosen = [word for setting in tiny_settings(tiny_clip, "mil_fcn") for word in ("--set", setting)]
    out = tmp_path / "run"
    run("train", two_piles, "--recipe", "mil_fcn", "--out", out, "--cache", tmp_path / "cache", *chosen)
    run("detect", two_piles / "tampered/t00.jpg", "--model", out / "model")
    run("evaluate", "--model", out / "model", "--data", two_piles / "manifest.csv", "--out", tmp_path / "results")
    assert (tmp_path / "results").is_dir()
    described = run("models", "describe", "mil_fcn", *chosen[:6], "--set", "model.head.channels=16")
    assert "mil_fcn on clip:" in described
