"""Whole training runs on a tiny CLIP: they learn, they resume, and they never see a mask."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import disks
from vilaco.data.formats import read_dataset
from vilaco.data.loading import WeakRecord
from vilaco.data.records import Record
from vilaco.encoders import EncoderConfig, load_encoder
from vilaco.errors import ConfigError, DataError, ImageError, VilacoError
from vilaco.evaluation.image_metrics import ImageScores, image_f1_sen_spe_harmonic
from vilaco.images import load_photo
from vilaco.localizer import Localizer
from vilaco.method.objective import ObjectiveConfig, vilaco_losses
from vilaco.method.vilaco import ViLaCo, ViLaCoConfig
from vilaco.training.callbacks import LAST, PREVIOUS, AtomicCheckpointIO, SaveLast
from vilaco.training.fit import train
from vilaco.training.module import ViLaCoModule
from vilaco.training.recipe import Recipe, load_recipe
from vilaco.training.run import quiet_lightning, split_held_out


def tiny_settings(tiny_clip: Path) -> list[str]:
    return [
        "model.encoder.family=clip",
        f"model.encoder.checkpoint={tiny_clip}",
        "model.image_size=64",
        "model.prompt.context_length=4",
        "model.adapter.num_heads=4",
        "model.text_attention.num_heads=4",
        "training.batch_size=8",
        "training.epochs=3",
        "training.cache_views=2",
        "training.example_every=2",
        "training.validation_share=0.25",
        "training.precision=32-true",
    ]


@pytest.fixture
def recipe(tiny_clip: Path) -> Recipe:
    return load_recipe("paper", overrides=tiny_settings(tiny_clip))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / LAST, weights_only=True)["state_dict"]


def assert_same_weights(first: Path, second: Path) -> None:
    a, b = weights(first), weights(second)
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def test_a_run_leaves_a_model_that_loads_alone_and_no_encoder(two_piles: Path, recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "run"
    summary = train(read_dataset(two_piles), recipe, out, cache_root=tmp_path / "cache")
    assert not summary.interrupted
    assert 0 <= summary.validation_image_auc <= 1
    assert sorted(p.name for p in (out / "examples").iterdir()) == ["epoch_002.jpg", "epoch_003.jpg"]
    assert (out / "logs/csv/version_0/metrics.csv").read_text().splitlines()[0].count("loss/") >= 4
    for state in (weights(out), load_file(out / "model/model.safetensors")):
        assert not [name for name in state if name.startswith("encoder.")]
    result = Localizer.load(out / "model")(two_piles / "tampered/t00.jpg")
    assert result.localization_map.shape == (72, 96)
    assert 0 < result.detection_score < 1


@pytest.mark.parametrize("cache_views", ["2", "null"])
def test_deleting_every_mask_changes_no_weight(
    two_piles: Path, tiny_clip: Path, tmp_path: Path, cache_views: str
) -> None:
    recipe = load_recipe(
        "paper",
        overrides=[*tiny_settings(tiny_clip), f"training.cache_views={cache_views}", "training.epochs=2"],
    )
    with_masks = read_dataset(two_piles)
    assert any(record.mask for record in with_masks)
    train(with_masks, recipe, tmp_path / "with", cache_root=tmp_path / "cache")
    shutil.rmtree(two_piles / "masks")
    train(read_dataset(two_piles), recipe, tmp_path / "without", cache_root=tmp_path / "cache2")
    assert_same_weights(tmp_path / "with", tmp_path / "without")


def test_killed_run_resumes_to_the_same_weights(two_piles: Path, tiny_clip: Path, tmp_path: Path) -> None:
    settings = [*tiny_settings(tiny_clip), "training.epochs=6"]
    command = [sys.executable, "-m", "vilaco", "train", str(two_piles), "--cache", str(tmp_path / "cache")]
    chosen = [part for setting in settings for part in ("--set", setting)]
    quiet = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.PIPE,
        "env": {**os.environ, "OMP_NUM_THREADS": "1"},
    }
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, "--out", str(whole), *chosen], check=True, **quiet)

    process = subprocess.Popen([*command, "--out", str(killed), *chosen], **quiet)
    deadline = time.monotonic() + 120
    while not (killed / LAST).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert process.returncode == -signal.SIGKILL
    assert torch.load(killed / LAST, weights_only=True)["epoch"] < 5  # the kill came before the end

    refused = subprocess.run([*command, "--out", str(killed), *chosen], check=False, **quiet)
    assert refused.returncode == 2
    assert b"go on with --resume" in refused.stderr
    subprocess.run([*command, "--out", str(killed), "--resume"], check=True, **quiet)
    assert_same_weights(whole, killed)
    best = [load_file(run / "model/model.safetensors") for run in (whole, killed)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


def test_eight_images_are_overfitted_to_perfection(two_piles: Path, tiny_clip: Path) -> None:
    torch.manual_seed(0)
    config = ViLaCoConfig.model_validate(load_recipe("paper", overrides=tiny_settings(tiny_clip)).model)
    model = ViLaCo(config)
    files = [two_piles / f"{folder}{i:02d}.jpg" for folder in ("authentic/a", "tampered/t") for i in range(4)]
    photos = [load_photo(file) for file in files]
    labels = torch.tensor([0] * 4 + [1] * 4)
    pixels = torch.stack([torch.from_numpy(p.pixels[:64, :64].copy()).permute(2, 0, 1) for p in photos]).float() / 255
    features = model.encoder.encode_patches(pixels)
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    frozen = {name: p.clone() for name, p in model.encoder.named_parameters()}
    optimiser = torch.optim.AdamW(trainable.values(), lr=2e-3)
    touched: set[str] = set()
    for step in range(60):
        losses = vilaco_losses(
            model.forward_patches(features, (64, 64)), labels, ObjectiveConfig(), epoch=step, num_epochs=60
        )
        optimiser.zero_grad()
        losses.total.backward()
        touched |= {name for name, p in trainable.items() if p.grad is not None and p.grad.abs().sum() > 0}
        optimiser.step()
    scores = model.eval()(pixels).detection_scores.detach().numpy()
    assert image_f1_sen_spe_harmonic(ImageScores.of(labels.numpy(), scores))[0] == 1.0
    assert touched == set(trainable)  # every trainable weight had a gradient
    for name, parameter in model.encoder.named_parameters():
        assert parameter.grad is None
        assert torch.equal(parameter, frozen[name]), name


def test_predictions_do_not_depend_on_the_batch(tiny_clip: Path) -> None:
    recipe = load_recipe("paper", overrides=tiny_settings(tiny_clip))
    model = ViLaCo(recipe.model).eval()
    pixels = torch.rand(3, 3, 64, 48)  # not square
    with torch.no_grad():
        together, alone = model(pixels), model(pixels[1:2])
    assert together.localization_logits.shape == (3, 64, 48)
    assert together.grid == (8, 6)
    torch.testing.assert_close(together.localization_logits[1:2], alone.localization_logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.detection_scores[1:2], alone.detection_scores)


@pytest.mark.parametrize("part", ["coarse", "fine", "consistency", "adapter", "prompts", "aggregator"])
def test_every_ablation_trains(two_piles: Path, tiny_clip: Path, tmp_path: Path, part: str) -> None:
    overrides = [setting for setting in tiny_settings(tiny_clip) if f"model.{part}" not in setting]
    recipe = load_recipe("paper", overrides=[*overrides, "training.epochs=1"], without=[part])
    train(read_dataset(two_piles), recipe, tmp_path / "run", cache_root=tmp_path / "cache")
    result = Localizer.load(tmp_path / "run/model")(two_piles / "tampered/t00.jpg")
    assert np.isfinite(result.localization_map).all()


def test_too_little_data_is_refused_with_a_reason(two_piles: Path, recipe: Recipe, tmp_path: Path) -> None:
    records = read_dataset(two_piles)
    with pytest.raises(DataError, match="7 readable images; training needs at least 8"):
        train(records[:4] + records[-3:], recipe, tmp_path / "a")
    with pytest.raises(DataError, match="no tampered image among the 12"):
        train([r for r in records if r.label == 0], recipe, tmp_path / "b")
    with pytest.raises(ConfigError, match="nothing to resume"):
        train(records, recipe, tmp_path / "c", resume=True)


def test_copies_stay_on_one_side_of_the_held_out_split() -> None:
    records = [Record(Path(f"{name}{number}"), number % 2) for name in "ab" for number in range(40)]
    usable = [WeakRecord(record.path, record.label, sha256=record.path.name[1:]) for record in records]
    keep, held_out = split_held_out(records, usable, share=0.25, seed=0)
    assert len(keep) + len(held_out) == 80
    assert not {record.sha256 for record in keep} & {record.sha256 for record in held_out}


def test_scenes_that_share_a_file_become_one() -> None:
    names = ["beach", "beach", "town", "town", "wood", "lake"]
    hashes = ["1", "2", "2", "3", "4", "5"]  # beach and town share a file
    records = [Record(Path(str(number)), number % 2, group=name) for number, name in enumerate(names)]
    usable = [WeakRecord(r.path, r.label, sha256=h) for r, h in zip(records, hashes, strict=True)]
    for seed in range(5):
        keep, held_out = split_held_out(records, usable, share=0.4, seed=seed)
        sides = [sorted(int(record.path.name) for record in side) for side in (keep, held_out)]
        assert sorted(sides) == [[0, 1, 2, 3], [4, 5]]


def test_a_resume_with_another_split_is_refused(two_piles: Path, recipe: Recipe, tmp_path: Path) -> None:
    records, out = read_dataset(two_piles), tmp_path / "run"
    train(records, recipe, out, cache_root=tmp_path / "cache")
    regrouped = [replace(record, group=f"scene {number // 4}") for number, record in enumerate(records)]
    with pytest.raises(DataError, match="not those that the run began with"):
        train(regrouped, recipe, out, resume=True, cache_root=tmp_path / "cache")


def test_a_run_that_has_no_checkpoint_yet_is_resumed_from_its_start(
    two_piles: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, out, cache = read_dataset(two_piles), tmp_path / "run", tmp_path / "cache"

    def killed(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(ViLaCoModule, "training_step", killed)
        with pytest.raises(RuntimeError, match="killed"):
            train(records, recipe, out, cache_root=cache)
    unfinished = out / "model/.0123456789abcdef.tmp"
    unfinished.parent.mkdir(exist_ok=True)
    unfinished.write_bytes(b"half a fi")
    with pytest.raises(ConfigError, match="go on with --resume"):
        train(records, recipe, out, cache_root=cache)
    train(records, recipe, out, resume=True, cache_root=cache)
    assert not unfinished.exists()
    train(records, recipe, tmp_path / "whole", cache_root=cache)
    assert_same_weights(tmp_path / "whole", out)


@contextmanager
def going_bad(*files: Path) -> Iterator[None]:
    """Damage files when the second epoch begins, and bring them back afterwards."""
    kept = [file.read_bytes() for file in files]

    def damage(self: SaveLast, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 1:
            for file in files:
                file.write_bytes(b"not a picture")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SaveLast, "on_train_epoch_start", damage)
        yield
    for file, data in zip(files, kept, strict=True):
        file.write_bytes(data)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_image_that_goes_bad_is_named_and_once_it_is_back_the_run_goes_on(
    num_workers: int, two_piles: Path, tiny_clip: Path, tmp_path: Path
) -> None:
    settings = [*tiny_settings(tiny_clip), "training.cache_views=null", f"training.num_workers={num_workers}"]
    recipe, records = load_recipe("paper", overrides=settings), read_dataset(two_piles)
    train(records, recipe, tmp_path / "whole")
    out, bad = tmp_path / "run", two_piles / "tampered/t04.jpg"
    with going_bad(bad):
        with pytest.raises(ImageError, match=r"^\S+t04\.jpg: not a JPEG, PNG, [^\n]+$"):
            train(records, recipe, out)
        with pytest.raises(DataError, match="not those that the run began with") as refused:
            train(records, recipe, out, resume=True)
        assert [line.partition(": ")[0] for line in refused.value.details] == [str(bad)]
    train(records, recipe, out, resume=True)
    assert_same_weights(tmp_path / "whole", out)


def test_a_run_from_the_cache_does_not_need_the_images(two_piles: Path, recipe: Recipe, tmp_path: Path) -> None:
    records, cache = read_dataset(two_piles), tmp_path / "cache"
    train(records, recipe, tmp_path / "whole", cache_root=cache)
    with going_bad(*(record.path for record in records)):
        train(records, recipe, tmp_path / "run", cache_root=cache)
    assert_same_weights(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_full_disk_is_said_and_gone_on_from(
    epoch: int, two_piles: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, cache, out = read_dataset(two_piles), tmp_path / "cache", tmp_path / "disk/run"
    train(records, recipe, tmp_path / "whole", cache_root=cache)
    ballast = tmp_path / "disk/ballast"
    ballast.parent.mkdir()

    def fill(self: SaveLast, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == epoch:
            disks.fill(ballast)

    with disks.small_disk(ballast.parent, 1 << 16):
        with monkeypatch.context() as patch:
            patch.setattr(SaveLast, "on_train_epoch_start", fill)
            with pytest.raises(VilacoError, match=r"cannot be written \(No space left on device\)$"):
                train(records, recipe, out, cache_root=cache)
        ballast.unlink()
        train(records, recipe, out, resume=True, cache_root=cache)
        assert_same_weights(tmp_path / "whole", out)
        best = [load_file(run / "model/model.safetensors") for run in (tmp_path / "whole", out)]
        assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "none, as on exFAT"])
def test_the_checkpoint_before_is_kept(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    writer = AtomicCheckpointIO()
    for step in (1, 2, 3):
        writer.save_checkpoint({"step": step}, tmp_path / LAST)
    assert [writer.load_checkpoint(tmp_path / name)["step"] for name in (LAST, PREVIOUS)] == [3, 2]


def test_a_thread_that_cannot_write_says_so_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    def cannot_write() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    hook = threading.excepthook
    with quiet_lightning():
        thread = threading.Thread(target=cannot_write)
        thread.start()
        thread.join()
    assert caplog.messages == ["the logs are not complete (No space left on device)"]  # else pytest warns, and fails
    assert threading.excepthook is hook


def test_unreadable_images_are_named_and_the_rest_trains(two_piles: Path, recipe: Recipe, tmp_path: Path) -> None:
    (two_piles / "authentic/a03.jpg").write_bytes(b"not a picture")
    summary = train(read_dataset(two_piles), recipe, tmp_path / "run", cache_root=tmp_path / "cache")
    assert [Path(error.source).name for error in summary.skipped] == ["a03.jpg"]
    records = [record for record in read_dataset(two_piles) if record.path.name != "a03.jpg"]
    train(records, recipe, tmp_path / "without", cache_root=tmp_path / "cache")
    assert_same_weights(tmp_path / "without", tmp_path / "run")


def test_cache_is_keyed_by_what_it_depends_on(two_piles: Path, tiny_clip: Path, tmp_path: Path) -> None:
    from vilaco.data.loading import AugmentationConfig, WeakImages, weaken
    from vilaco.training.feature_cache import CachedFeatures

    encoder = load_encoder(EncoderConfig(family="clip", checkpoint=str(tiny_clip)))
    usable, _ = weaken(read_dataset(two_piles)[:2])
    images = WeakImages(usable, size=64, config=AugmentationConfig(), seed=0)
    cached = CachedFeatures(images, encoder, tmp_path)
    assert len(cached.missing(2)) == 4
    cached.fill(2)
    assert cached.missing(2) == []
    expected = encoder.encode_patches(torch.from_numpy(images[1, 1]["pixels"]).unsqueeze(0).float() / 255)[0]
    torch.testing.assert_close(torch.from_numpy(cached[1, 1]["patch_features"]).float(), expected, rtol=2e-3, atol=2e-3)
    other = WeakImages(usable, size=64, config=AugmentationConfig(min_crop=0.5), seed=0)
    assert len(CachedFeatures(other, encoder, tmp_path).missing(2)) == 4
    blocks = load_encoder(EncoderConfig(family="clip", checkpoint=str(tiny_clip), tokens="blocks", grid_blocks=4))
    assert len(CachedFeatures(images, blocks, tmp_path).missing(2)) == 4


def test_text_is_encoded_once_at_inference_and_anew_when_weights_change(tiny_clip: Path) -> None:
    model = ViLaCo(load_recipe("paper", overrides=tiny_settings(tiny_clip)).model).eval()
    calls = []
    encode = model.encoder.encode_prompts
    model.encoder.encode_prompts = lambda prompts: calls.append(1) or encode(prompts)  # type: ignore[method-assign]
    pixels = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        first, again = model(pixels), model(pixels)
        assert len(calls) == 1
        assert torch.equal(first.similarity, again.similarity)
        state = model.trainable_state()
        model.load_trainable_state({**state, "prompt.context": state["prompt.context"] + 1.0})
        assert not torch.equal(model(pixels).similarity, first.similarity)
    with pytest.raises(RuntimeError, match="frozen encoder"):
        model.load_trainable_state(model.state_dict())
