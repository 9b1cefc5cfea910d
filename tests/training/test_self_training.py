"""Training by forging and rounds of self-training on a tiny network: it runs, resumes, learns, and sees no mask."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from pictures import make_photo
from vilaco.calibration import Calibration
from vilaco.data.boxes import Box
from vilaco.data.forging import ForgedPictures, StreamConfig
from vilaco.data.formats import read_dataset
from vilaco.data.records import Record
from vilaco.encoders import EncoderConfig, load_encoder
from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.errors import ConfigError, DataError, ImageError, ModelError
from vilaco.evaluation.calibrate import write_calibrated
from vilaco.files import write_atomically
from vilaco.images import resize_pixels
from vilaco.localizer import Localizer
from vilaco.method.checkpoint import save_checkpoint
from vilaco.method.self_forged import SelfForgedObjectiveConfig, self_forged_losses
from vilaco.method.vilaco import ViLaCo, ViLaCoConfig
from vilaco.runtimes.torch import TorchRuntime
from vilaco.training.callbacks import LAST
from vilaco.training.changes import TITLES
from vilaco.training.mean_teacher import MeanTeacher
from vilaco.training.recipe import Recipe, load_recipe
from vilaco.training.self_forged import SaveStage, SelfForgedModule, WeightAverage
from vilaco.training.self_training import SOURCES_FILE, train_by_forging
from vilaco.training.stage import StageConfig

WEIGHTS = "model/model.safetensors"
STEPS = 150  # of overfitting


def tiny_settings(tiny_forensic: dict[str, Any], **changes: Any) -> list[str]:
    """Overrides of the recipe ``default``: two stages of three steps."""
    values = {
        **{f"model.{name}": value for name, value in tiny_forensic.items()},
        "training.precision": "32-true",
        "training.validation_share": 0.25,
        "self_training.stream.batch_size": 6,
        "self_training.stream.real_share": 0.67,
        "self_training.stream.sizes": [[64, 96], [96, 64]],
        "self_training.rounds": 1,
        "self_training.num_workers": 0,
        "self_training.store": None,
        "self_training.forged": {"steps": 3, "warmup_steps": 1, "save_every": 2},
        "self_training.round": {"steps": 3, "warmup_steps": 1, "save_every": 1, "learning_rate": 5e-4},
        **changes,
    }
    return [f"{name}={yaml.safe_dump(value, default_flow_style=True, width=10**6)}" for name, value in values.items()]


@pytest.fixture
def recipe(tiny_forensic: dict[str, Any]) -> Recipe:
    return load_recipe("default", overrides=tiny_settings(tiny_forensic))


@pytest.fixture(scope="module")
def encoder(tiny_clip: Path) -> VisionLanguageEncoder:
    return load_encoder(EncoderConfig(family="clip", checkpoint=str(tiny_clip)))


def assert_same_weights(first: Path, second: Path) -> None:
    a, b = load_file(first / WEIGHTS), load_file(second / WEIGHTS)
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


@contextmanager
def killed_after(steps: int) -> Iterator[None]:
    """Break off a run, as a kill would, when it has done so many steps and saved what it saves there."""
    save: Callable[..., None] = SaveStage.on_train_batch_end
    done = []

    def save_then_stop(self: SaveStage, *arguments: Any) -> None:
        save(self, *arguments)
        done.append(1)
        if len(done) == steps:
            raise RuntimeError("killed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SaveStage, "on_train_batch_end", save_then_stop)
        with pytest.raises(RuntimeError, match="killed"):
            yield


@pytest.fixture(scope="module")
def piles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve authentic and twelve tampered photos with grain, some of them tall; the tampered ones have masks."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("course") / "piles"
    for folder in ("authentic", "tampered", "masks"):
        (root / folder).mkdir(parents=True)
    lines = ["path,label,mask"]
    for index in range(12):
        height, width = (72, 104) if index % 3 else (104, 72)
        for label, name in enumerate(("authentic", "tampered")):
            pixels = np.clip(make_photo(rng, height, width) + rng.normal(0, 8, (height, width, 3)), 0, 255)
            mask = np.zeros((height, width), np.uint8)
            if label:
                top, left = rng.integers(8, 32, 2)
                pixels[top : top + 32, left : left + 32] = cv2.GaussianBlur(pixels, (0, 0), 3)[:32, :32]
                mask[top : top + 32, left : left + 32] = 255
                cv2.imwrite(str(root / f"masks/{index:02d}.png"), mask)
            cv2.imwrite(str(root / name / f"{index:02d}.png"), pixels.astype(np.uint8))
            lines.append(f"{name}/{index:02d}.png,{label},{f'masks/{index:02d}.png' if label else ''}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def whole(
    piles: Path, tiny_forensic: dict[str, Any], encoder: VisionLanguageEncoder, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Run folder of a course that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    recipe = load_recipe("default", overrides=tiny_settings(tiny_forensic))
    summary = train_by_forging(read_dataset(piles), recipe, out, encoder=encoder)
    assert not summary.interrupted
    assert 0 <= summary.validation_image_auc <= 1
    return out


def test_a_course_leaves_a_model_that_loads_alone_and_no_encoder(whole: Path, piles: Path) -> None:
    assert sorted(path.name for path in (whole / "stages").iterdir()) == ["0", "1"]
    assert not list(whole.rglob("*.ckpt"))
    for folder in (whole, whole / "stages/0", whole / "stages/1"):
        state = load_file(folder / WEIGHTS)
        assert not [name for name in state if name.startswith("encoder.")]
        assert all(torch.isfinite(value).all() for value in state.values())
    assert_same_weights(whole, whole / "stages/1")
    first, second = (load_file(whole / "stages" / stage / WEIGHTS) for stage in "01")
    assert any(not torch.equal(first[name], second[name]) for name in first)
    run = json.loads((whole / "run.json").read_text())
    assert run["train_images"] == {"label_0": 9, "label_1": 9}
    assert run["validation_images"] == {"label_0": 3, "label_1": 3}
    result = Localizer.load(whole / "model")(piles / "tampered/00.png")
    assert result.localization_map.shape == (104, 72)


def without_masks(piles: Path, out: Path) -> list[Record]:
    """The piles again, their mask files deleted."""
    copied = shutil.copytree(piles, out)
    shutil.rmtree(copied / "masks")
    return read_dataset(copied)


def boxed(records: list[Record]) -> list[Record]:
    """A box around the forgery of each tampered image, and a corner where there is none."""
    return [replace(record, boxes=(Box(4, 4, 64, 64), Box(0, 0, 2, 2)) if record.label else ()) for record in records]


def test_deleting_every_mask_changes_no_weight_nor_do_boxes_that_nobody_asked_for(
    whole: Path, piles: Path, recipe: Recipe, encoder: VisionLanguageEncoder, tmp_path: Path
) -> None:
    records = boxed(without_masks(piles, tmp_path / "piles"))
    assert any(record.mask for record in read_dataset(piles))
    train_by_forging(records, recipe, tmp_path / "run", encoder=encoder)
    for stage in ("stages/0", "stages/1", "."):
        assert_same_weights(whole / stage, tmp_path / "run" / stage)


@pytest.mark.parametrize(
    "steps",
    [
        1,  # before anything was saved
        2,  # inside the first stage, right after a save
        3,  # at the end of the first stage, its model written
        4,  # inside the round
        5,
    ],
)
def test_a_killed_course_resumes_to_the_same_weights(
    steps: int,
    whole: Path,
    piles: Path,
    recipe: Recipe,
    encoder: VisionLanguageEncoder,
    tmp_path: Path,
) -> None:
    out, records = tmp_path / "run", read_dataset(piles)
    with killed_after(steps):
        train_by_forging(records, recipe, out, encoder=encoder)
    assert not (out / "model").exists()
    if steps == 2:
        kept = torch.load(out / "stages/0" / LAST, weights_only=True)
        assert kept["global_step"] == kept["average"]["updates"] == 2  # the average has the last step too
    with pytest.raises(ConfigError, match="go on with --resume"):
        train_by_forging(records, recipe, out, encoder=encoder)
    train_by_forging(records, recipe, out, resume=True, encoder=encoder)
    for stage in ("stages/0", "stages/1", "."):
        assert_same_weights(whole / stage, out / stage)


def test_boxes_teach_where_asked_masks_still_do_not_and_a_resume_remembers(
    whole: Path, piles: Path, recipe: Recipe, encoder: VisionLanguageEncoder, tmp_path: Path
) -> None:
    summary = train_by_forging(boxed(read_dataset(piles)), recipe, tmp_path / "a", boxes=True, encoder=encoder)
    with pytest.raises(AssertionError):
        assert_same_weights(whole, tmp_path / "a")
    assert_same_weights(whole / "stages/0", tmp_path / "a/stages/0")  # forgeries alone
    assert summary.supervision == json.loads((tmp_path / "a/run.json").read_text())["supervision"] == "boxes"
    card = (tmp_path / "a/model/README.md").read_text()
    assert "supervision: **boxes**" in card
    assert "9 authentic and 9 tampered photos, 18 boxes, and forgeries" in card
    records = boxed(without_masks(piles, tmp_path / "piles"))
    with killed_after(4):
        train_by_forging(records, recipe, tmp_path / "b", boxes=True, encoder=encoder)
    train_by_forging(records, recipe, tmp_path / "b", resume=True, encoder=encoder)
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    with pytest.raises(DataError, match="no boxes among the images"):
        train_by_forging(read_dataset(piles), recipe, tmp_path / "c", boxes=True, encoder=encoder)
    assert not (tmp_path / "c").exists()


def test_authentic_photos_alone_teach_a_model_that_is_there(
    whole: Path, piles: Path, recipe: Recipe, encoder: VisionLanguageEncoder, tmp_path: Path
) -> None:
    authentic = [record for record in read_dataset(piles) if not record.label]
    start = whole / "stages/0/model"
    summary = train_by_forging(authentic, recipe, tmp_path / "run", start_from=start, encoder=encoder)
    assert summary.supervision == "authentic photos alone"
    assert summary.validation_image_auc is None
    assert summary.changes is not None
    assert [set(model.known()) for model in summary.changes] == [
        {"false_alarms", "forged_image_auc", "forged_pixel_auc", "forged_pixel_f1"}
    ] * 2
    with pytest.raises(AssertionError):
        assert_same_weights(start.parent, tmp_path / "run")


def test_a_run_says_what_it_was_told_and_what_its_rounds_changed(whole: Path) -> None:
    run = json.loads((whole / "run.json").read_text())
    assert run["supervision"] == "image labels"
    before, after = run["changes"]["before"], run["changes"]["after"]
    assert before.keys() == after.keys() == TITLES.keys()
    assert after["image_auc"] == run["validation_image_auc"]
    card = (whole / "model/README.md").read_text()
    assert "supervision: **image labels**. Learned from\n9 authentic and 9 tampered photos, and forgeries" in card
    for name, title in TITLES.items():
        assert f"| {title} | {before[name]:.3f} | {after[name]:.3f} |" in card


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_keeps_the_step_it_falls_into_and_twice_ends_it_at_once(
    presses: int,
    whole: Path,
    piles: Path,
    recipe: Recipe,
    encoder: VisionLanguageEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, records = tmp_path / "run", read_dataset(piles)
    handler, step = signal.getsignal(signal.SIGINT), SelfForgedModule.training_step

    def step_and_press(*arguments: Any) -> torch.Tensor:
        for _ in range(presses):
            os.kill(os.getpid(), signal.SIGINT)
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(SelfForgedModule, "training_step", step_and_press)
        assert train_by_forging(records, recipe, out, encoder=encoder).interrupted
    assert signal.getsignal(signal.SIGINT) is handler
    last = out / "stages/0" / LAST
    assert torch.load(last, weights_only=True)["global_step"] == 1 if presses == 1 else not last.exists()
    assert not train_by_forging(records, recipe, out, resume=True, encoder=encoder).interrupted
    assert_same_weights(whole, out)


@contextmanager
def damaged(*files: Path) -> Iterator[None]:
    kept = [file.read_bytes() for file in files]
    try:
        for file in files:
            write_atomically(file, b"not a picture")  # makers may be reading it
        yield
    finally:
        for file, data in zip(files, kept, strict=True):
            write_atomically(file, data)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_photo_that_goes_bad_is_named_and_once_it_is_back_the_run_goes_on(
    num_workers: int,
    whole: Path,
    piles: Path,
    tiny_forensic: dict[str, Any],
    encoder: VisionLanguageEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = tiny_settings(tiny_forensic, **{"self_training.num_workers": num_workers})
    recipe, out, records = load_recipe("default", overrides=settings), tmp_path / "run", read_dataset(piles)
    photos, start = sorted((piles / "authentic").iterdir()), SaveStage.on_train_start
    with ExitStack() as until_later, monkeypatch.context() as patch:
        patch.setattr(
            SaveStage, "on_train_start", lambda *each: until_later.enter_context(damaged(*photos)) and start(*each)
        )
        with pytest.raises(ImageError, match=r"^\S+authentic/\d+\.png: not a JPEG, PNG, [^\n]+$"):
            train_by_forging(records, recipe, out, encoder=encoder)
    with damaged(photos[3]), pytest.raises(DataError, match="not those that the run began with") as refused:
        train_by_forging(records, recipe, out, resume=True, encoder=encoder)
    assert [line.partition(": ")[0] for line in refused.value.details] == [str(photos[3])]
    train_by_forging(records, recipe, out, resume=True, encoder=encoder)
    assert_same_weights(whole, out)


def test_an_image_that_goes_bad_in_a_round_costs_no_step(
    whole: Path,
    piles: Path,
    tiny_forensic: dict[str, Any],
    encoder: VisionLanguageEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = load_recipe("default", overrides=[*tiny_settings(tiny_forensic), "self_training.round.save_every=100"])
    out, records, save = tmp_path / "run", read_dataset(piles), SaveStage.on_train_batch_end

    with ExitStack() as until_later, monkeypatch.context() as patch:

        def save_then_damage(self: SaveStage, *arguments: Any) -> None:
            save(self, *arguments)
            if self.folder.name == "1":
                until_later.enter_context(damaged(*(piles / "tampered").iterdir()))

        patch.setattr(SaveStage, "on_train_batch_end", save_then_damage)
        with pytest.raises(ImageError, match="tampered"):
            train_by_forging(records, recipe, out, encoder=encoder)
    assert 1 <= torch.load(out / "stages/1" / LAST, weights_only=True)["global_step"] < 3
    train_by_forging(records, recipe, out, resume=True, encoder=encoder)
    assert_same_weights(whole, out)


def test_what_is_bad_from_the_start_is_named_and_changes_no_weight(
    piles: Path, recipe: Recipe, encoder: VisionLanguageEncoder, more_photos: list[Path], tmp_path: Path
) -> None:
    copied, bad = shutil.copytree(piles, tmp_path / "piles"), tmp_path / "holiday/00.png"
    for file in (bad, copied / "tampered/05.png"):
        file.write_bytes(b"not a picture")
    records = [record for record in read_dataset(copied) if record.path.name != "05.png" or not record.label]
    with_bad = train_by_forging(
        read_dataset(copied), recipe, tmp_path / "a", photos=[*more_photos, bad], encoder=encoder
    )
    assert [Path(error.source) for error in with_bad.skipped] == [copied / "tampered/05.png", bad]
    assert train_by_forging(records, recipe, tmp_path / "b", photos=more_photos, encoder=encoder).skipped == []
    assert_same_weights(tmp_path / "a", tmp_path / "b")


def test_worker_processes_change_no_weight(
    whole: Path, piles: Path, tiny_forensic: dict[str, Any], encoder: VisionLanguageEncoder, tmp_path: Path
) -> None:
    recipe = load_recipe("default", overrides=tiny_settings(tiny_forensic, **{"self_training.num_workers": 2}))
    train_by_forging(read_dataset(piles), recipe, tmp_path / "run", encoder=encoder)
    assert_same_weights(whole, tmp_path / "run")


def test_two_processes_train_one_model(piles: Path, tiny_forensic: dict[str, Any], tmp_path: Path) -> None:
    """The second process begins the run that the first has begun, and may write nothing of it."""
    out, settings = tmp_path / "run", tiny_settings(tiny_forensic, **{"self_training.forged": {"steps": 1}})
    chosen = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "-m", "vilaco", "train", str(piles), "--recipe", "default", "--out", str(out), *chosen]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [*command, "--devices", "2"], env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"{out / 'model'}  learned from image labels  held-out I-AUC")
    assert ended.stdout.count("held-out I-AUC") == ended.stdout.count("What changed") == 1  # by one of the two
    assert_same_weights(out, out / "stages/1")


def test_bfloat16_trains_and_still_measures_in_float32(
    whole: Path, piles: Path, tiny_forensic: dict[str, Any], encoder: VisionLanguageEncoder, tmp_path: Path
) -> None:
    recipe = load_recipe("default", overrides=tiny_settings(tiny_forensic, **{"training.precision": "bf16-mixed"}))
    train_by_forging(read_dataset(piles), recipe, tmp_path / "run", encoder=encoder)
    exact, rounded = load_file(whole / WEIGHTS), load_file(tmp_path / "run" / WEIGHTS)
    for name, value in rounded.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, exact[name], atol=1e-2, rtol=0)  # six steps apart in rounding alone
    model = TorchRuntime.load(whole / "model", encoder=encoder).model
    assert isinstance(model, ViLaCo)
    pixels = torch.randint(200, 202, (1, 3, 16, 16)).float()  # bfloat16 cannot tell the two apart
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        seen: list[torch.Tensor] = []
        model.residuals.front_end.evidence.register_forward_hook(lambda *arguments: seen.append(arguments[2]))
        model.residuals.front_end(pixels)
    with torch.no_grad():
        assert torch.equal(seen[0], model.residuals.front_end.evidence(pixels))


def test_nothing_resumes_where_nothing_was(
    piles: Path, recipe: Recipe, encoder: VisionLanguageEncoder, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"nothing to resume, recipe\.yaml is missing"):
        train_by_forging(read_dataset(piles), recipe, tmp_path, resume=True, encoder=encoder)


@pytest.fixture
def more_photos(tmp_path: Path) -> list[Path]:
    rng, folder = np.random.default_rng(9), tmp_path / "holiday"
    folder.mkdir()
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), make_photo(rng, 100, 140))
    return sorted(folder.iterdir())


def test_from_a_model_the_rounds_follow_at_once_and_a_resume_remembers_it(
    whole: Path,
    piles: Path,
    recipe: Recipe,
    encoder: VisionLanguageEncoder,
    more_photos: list[Path],
    tmp_path: Path,
) -> None:
    records, sources = read_dataset(piles), {"photos": more_photos, "start_from": whole / "stages/0/model"}
    train_by_forging(records, recipe, tmp_path / "a", **sources, encoder=encoder)
    assert [path.name for path in (tmp_path / "a/stages").iterdir()] == ["0"]
    start, end = load_file(whole / "stages/0" / WEIGHTS), load_file(tmp_path / "a" / WEIGHTS)
    changes = [(end[name] - start[name]).abs().max().item() for name in start]
    assert 0 < max(changes) < 0.02  # three steps of 5e-4 away from where it began
    with killed_after(2):
        train_by_forging(records, recipe, tmp_path / "b", **sources, encoder=encoder)
    assert json.loads((tmp_path / "b" / SOURCES_FILE).read_text())["photos"] == [str(path) for path in more_photos]
    with pytest.raises(ConfigError, match="the photos, segments, model and boxes it began with"):
        train_by_forging(records, recipe, tmp_path / "b", photos=more_photos, resume=True, encoder=encoder)
    train_by_forging(records, recipe, tmp_path / "b", resume=True, encoder=encoder)
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    config = (tmp_path / "b/model/config.json").read_text()
    assert str(tmp_path) not in config  # a model tells nobody where its photos lay


def test_a_teacher_draws_as_the_calibrated_model_that_it_starts_from(
    whole: Path,
    piles: Path,
    recipe: Recipe,
    encoder: VisionLanguageEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calibration = Calibration(
        slope=1, offset=0, map_shift=1.25, authentic_scores=(0.1,) * 19, tampered_scores=(0.9,) * 19
    )
    write_calibrated(whole / "stages/0/model", tmp_path / "start", calibration)
    shifts: list[float] = []
    take_up = MeanTeacher.take_up

    def spy(self: MeanTeacher, weights: Any) -> None:
        shifts.append(self.map_shift)
        take_up(self, weights)

    monkeypatch.setattr(MeanTeacher, "take_up", spy)
    twice = recipe.model_copy(update={"self_training": recipe.self_training.model_copy(update={"rounds": 2})})
    train_by_forging(read_dataset(piles), twice, tmp_path / "run", start_from=tmp_path / "start", encoder=encoder)
    assert shifts == [1.25] * 3 + [0.0] * 3  # what learned from a shifted teacher needs no shift


def test_what_cannot_begin_leaves_no_run_behind(
    piles: Path,
    recipe: Recipe,
    tiny_forensic: dict[str, Any],
    encoder: VisionLanguageEncoder,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    records, out = read_dataset(piles), tmp_path / "run"
    with pytest.raises(ModelError, match="not the recipe's network"):
        train_by_forging(records, recipe, out, start_from=tiny_model, encoder=encoder)
    other = {**tiny_forensic, "residuals": {**tiny_forensic["residuals"], "channels": 24}}
    save_checkpoint(ViLaCo(ViLaCoConfig.model_validate(other), encoder), tmp_path / "other")
    with pytest.raises(ModelError, match=r"differ in copy_move\.compare\.weight"):
        train_by_forging(records, recipe, out, start_from=tmp_path / "other", encoder=encoder)
    with pytest.raises(DataError, match="no such folder of segmentations"):
        train_by_forging(records, recipe, out, segments=[tmp_path / "gone"], encoder=encoder)
    with pytest.raises(DataError, match="no tampered image"):
        train_by_forging([r for r in records if not r.label], recipe, out, encoder=encoder)
    assert not out.exists()


@pytest.mark.parametrize("given_as", ["themselves", "another path", "a link", "copies"])
def test_held_out_photos_are_not_forged_from_even_where_given_again(
    given_as: str,
    piles: Path,
    recipe: Recipe,
    encoder: VisionLanguageEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hosts: list[tuple[Path, ...]] = []
    calibrating: list[Path] = []
    build = ForgedPictures.__init__

    def spy(self: ForgedPictures, photos: list[Path], *arguments: Any, **settings: Any) -> None:
        hosts.append(tuple(photos))
        build(self, photos, *arguments, **settings)

    def calibrate(localizer: Localizer, photos: list[Path], **_: Any) -> None:
        calibrating.extend(photos)
        raise DataError("too few")

    monkeypatch.setattr(ForgedPictures, "__init__", spy)
    monkeypatch.setattr("vilaco.training.self_training.calibrate", calibrate)
    folder = piles / "authentic"
    if given_as == "another path":
        folder = piles / "tampered" / ".." / "authentic"
    elif given_as == "a link":
        folder = tmp_path / "linked"
        folder.symlink_to(piles / "authentic")
    elif given_as == "copies":
        folder = tmp_path / "copied"
        shutil.copytree(piles / "authentic", folder)
    photos = sorted(folder.iterdir())
    train_by_forging(read_dataset(piles), recipe, tmp_path / "run", photos=photos, encoder=encoder)
    assert len(hosts[0]) == 9  # of twelve, a quarter is held out
    forged_from = {photo.read_bytes() for photo in hosts[0]}
    assert len(forged_from) == 9
    held_out = {photo.read_bytes() for photo in photos} - forged_from
    assert {photo.read_bytes() for photo in calibrating} == held_out


def test_without_rounds_photos_alone_are_enough(
    recipe: Recipe,
    tiny_forensic: dict[str, Any],
    encoder: VisionLanguageEncoder,
    more_photos: list[Path],
    tmp_path: Path,
) -> None:
    recipe = load_recipe("default", overrides=tiny_settings(tiny_forensic, **{"self_training.rounds": 0}))
    summary = train_by_forging([], recipe, tmp_path / "run", photos=more_photos, encoder=encoder)
    assert summary.validation_image_auc is None
    assert (tmp_path / "run" / WEIGHTS).is_file()
    with pytest.raises(DataError, match="no photos to forge from"):
        train_by_forging([], recipe, tmp_path / "none", encoder=encoder)


def test_the_average_by_hand_and_wherever_the_network_goes(
    tiny_forensic: dict[str, Any], encoder: VisionLanguageEncoder
) -> None:
    model = ViLaCo(ViLaCoConfig.model_validate(tiny_forensic), encoder)
    average = WeightAverage(model, decay=0.25)
    name = "coarse_head.classifier.1.bias"
    bias = model.coarse_head.classifier[1].bias
    expected = bias.item()
    for step, value in enumerate((1.0, 2.0, 4.0), start=1):
        with torch.no_grad():
            bias.fill_(value)
        average.update(model)
        kept = min(0.25, (1 + step) / (10 + step))  # 2/11, 3/12, then the decay
        expected = kept * expected + (1 - kept) * value
        assert average.weights[name].item() == pytest.approx(expected)
    assert not any(key.startswith("encoder.") for key in average.weights)

    class Elsewhere:
        """A network that was moved to another device after its average was begun, as trainers do."""

        def trainable_state(self) -> dict[str, torch.Tensor]:
            return {key: value.to("meta") for key, value in model.trainable_state().items()}

    average.update(Elsewhere())  # type: ignore[arg-type]
    assert {value.device.type for value in average.weights.values()} == {"meta"}


def test_the_rate_climbs_stays_and_falls() -> None:
    rates = [StageConfig(steps=14, warmup_steps=4).rate(step) for step in range(15)]
    np.testing.assert_allclose(rates[:6], [0.25, 0.5, 0.75, 1.0, 1.0, 0.9])
    np.testing.assert_allclose(rates[-2:], [0.1, 0.02])
    flat = StageConfig(steps=14, warmup_steps=4, decay_share=0.4)
    np.testing.assert_allclose([flat.rate(step) for step in (4, 9, 10, 12, 13)], [1.0, 1.0, 1.0, 0.5, 0.25])


def test_eight_forgeries_are_overfitted(
    piles: Path, tiny_forensic: dict[str, Any], encoder: VisionLanguageEncoder
) -> None:
    forge = ForgedPictures(
        sorted((piles / "authentic").iterdir()),
        config=StreamConfig.model_validate(
            {"batch_size": 8, "sizes": [[64, 96]], "twin_share": 0.0, "forge": {"min_area": 0.05, "small_share": 0.0}}
        ),
        seed=1,
    )
    batch = forge.batch(0, 8)
    view = torch.from_numpy(
        np.stack([resize_pixels(p.transpose(1, 2, 0), (64, 64)).transpose(2, 0, 1) for p in batch.pixels])
    )
    pixels, matches, mask = (torch.from_numpy(array) for array in (batch.pixels, batch.matches, batch.mask))
    torch.manual_seed(0)
    model = ViLaCo(ViLaCoConfig.model_validate(tiny_forensic), encoder)
    frozen = {name: value.clone() for name, value in encoder.state_dict().items()}
    optimiser = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=STEPS)
    config, labels = SelfForgedObjectiveConfig(consistency=0), torch.ones(8)
    target, everywhere = mask.float(), torch.ones(mask.shape)
    for step in range(STEPS):
        losses = self_forged_losses(
            model(view.float() / 255, pixels.float(), matches),
            labels,
            target,
            everywhere,
            config,
            progress=step / STEPS,
        )
        optimiser.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        drawn = model.eval()(view.float() / 255, pixels.float(), matches).localization_logits > 0
    truth = mask == 1
    f1 = 2 * (drawn & truth).sum((1, 2)) / (drawn.sum((1, 2)) + truth.sum((1, 2)))
    assert f1.mean() > 0.9
    assert all(torch.equal(value, frozen[name]) for name, value in encoder.state_dict().items())
