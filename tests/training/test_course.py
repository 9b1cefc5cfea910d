"""A course on a tiny network: it starts, goes on after a kill to the same weights, and keeps its curve and models."""

import csv
import json
import runpy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from autoencoders import write_autoencoder
from pictures import make_photo
from vilaco.cli.main import app
from vilaco.data.pool import PoolPhoto, read_pool, write_pool
from vilaco.errors import ConfigError
from vilaco.localizer import Localizer
from vilaco.method.checkpoint import save_checkpoint
from vilaco.method.vilaco import ViLaCo, ViLaCoConfig
from vilaco.training.callbacks import LAST
from vilaco.training.course import Course, CourseSummary, _source, read_course, run_course
from vilaco.training.self_forged import SaveStage


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eight photos of two sources, listed; a class map of one of them; and an autoencoder."""
    root, rng, photos = tmp_path_factory.mktemp("photos"), np.random.default_rng(0), []
    for source in ("street", "holiday"):
        (root / source).mkdir()
        for index in range(4):
            pixels = np.clip(make_photo(rng, 130, 160) + rng.normal(0, 6, (130, 160, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(root / source / f"{source}_{index}.png"), pixels)
            side = "validation" if index == 3 else "training"
            photos.append(
                PoolPhoto(f"{source}/{source}_{index}.png", "", source, "free", f"{source}{index}", 160, 130, side)
            )
    classes = np.zeros((130, 160), np.uint8)
    classes[40:90, 50:100] = 3
    (root / "classes").mkdir()
    cv2.imwrite(str(root / "classes/street_0.png"), classes)
    write_autoencoder(root / "redraws")
    write_pool(photos, root / "pool.csv")
    return [root]


@pytest.fixture(scope="module")
def course(tiny_forensic: dict[str, Any]) -> Course:
    model = {**tiny_forensic, "adapter": {"num_heads": 4, "dropout": 0.0}, "aggregator": {"dropout": 0.0}}
    return Course.model_validate(
        {
            "name": "tiny",
            "model": model,
            "sources": {"street": 0.75, "holiday": 0.25},
            "segments": ["classes"],
            "autoencoder": "redraws",
            "stream": {"batch_size": 4, "sizes": [[64, 96], [96, 64]]},
            "stage": {
                "steps": 6,
                "optimiser": "muon",
                "warmup_steps": 1,
                "save_every": 2,
                "decay_share": 0.5,
                "frozen": ["prompt"],
            },
            "store": {"uses": 2, "chunk": 1, "makers": 1},
            "validation": {"batches": 2, "every": 3},
            "precision": "32-true",
        }
    )


def run(course: Course, roots: list[Path], out: Path, **settings: Any) -> CourseSummary:
    return run_course(course, roots[0] / "pool.csv", roots, out, **settings)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def whole(course: Course, roots: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a course that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert not run(course, roots, out).interrupted
    return out


def test_a_course_leaves_its_curve_its_models_and_nothing_made_ahead(whole: Path, course: Course) -> None:
    with open(whole / "curve.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["step"]) for row in rows] == [0, 3, 6]
    assert [float(row["pictures"]) for row in rows] == [0, 12, 24]
    assert all(0 <= float(row["pixel_f1"]) <= 1 for row in rows)
    assert {"bce", "dice"} <= {name.removeprefix("loss/") for name in rows[-1] if name.startswith("loss/")}
    assert not (whole / "pictures").exists()
    assert not (whole / LAST).exists()
    best = max(range(3), key=lambda index: float(rows[index]["pixel_f1"]))
    facts = json.loads((whole / "best/config.json").read_bytes())["trained_with"]
    assert facts["pictures"] == float(rows[best]["pictures"])
    assert facts["photos"] == {"training": {"street": 3, "holiday": 3}, "validation": {"street": 1, "holiday": 1}}
    newest, started = weights(whole / "newest"), ViLaCo(course.model)
    assert torch.equal(newest["prompt.context"], _initial(course)["prompt.context"])  # frozen
    assert any(not torch.equal(newest[name], value) for name, value in _initial(course).items())
    assert newest.keys() == started.trainable_state().keys()
    pixels = make_photo(np.random.default_rng(1), 70, 90)
    assert Localizer.load(whole / "newest")(pixels).localization_map.shape == (70, 90)


def _initial(course: Course) -> dict[str, torch.Tensor]:
    torch.manual_seed(course.seed)
    return ViLaCo(course.model).trainable_state()


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_a_killed_course_goes_on_to_the_same_weights(
    steps: int, course: Course, roots: list[Path], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, done = SaveStage.on_train_batch_end, []

    def save_then_stop(self: SaveStage, *arguments: Any) -> None:
        save(self, *arguments)
        done.append(1)
        if len(done) == steps:
            raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(SaveStage, "on_train_batch_end", save_then_stop)
        with pytest.raises(RuntimeError, match="killed"):
            run(course, roots, tmp_path / "run")
    run(course, roots, tmp_path / "run")
    expected = weights(whole / "newest")
    for name, value in weights(tmp_path / "run/newest").items():
        assert torch.equal(value, expected[name]), name
    assert (tmp_path / "run/curve.csv").read_text() == (whole / "curve.csv").read_text()


def test_a_course_stops_when_its_minutes_are_over_and_goes_on(
    course: Course, roots: list[Path], whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    calls = 0
    while run(course, roots, out, minutes=0.0).interrupted:
        calls += 1
        assert torch.load(out / LAST, weights_only=True)["global_step"] == calls
    assert calls == 5  # a step a call
    expected = weights(whole / "newest")
    assert all(torch.equal(value, expected[name]) for name, value in weights(out / "newest").items())
    written = (out / "newest/model.safetensors").stat().st_mtime_ns
    assert not run(course, roots, out).interrupted  # at its end: nothing is left to do
    assert (out / "newest/model.safetensors").stat().st_mtime_ns == written


def test_a_course_without_state_starts_from_the_model_it_names(
    course: Course, roots: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(5)
    start = ViLaCo(course.model)
    save_checkpoint(start, tmp_path / "start")
    named = course.model_copy(update={"start_from": str(tmp_path / "start")})
    run(named, roots, tmp_path / "run", minutes=0.0)
    assert "no state is kept here; starts from start" in caplog.text
    after, before = weights(tmp_path / "run/newest"), start.trainable_state()
    assert max((after[name] - before[name]).abs().max().item() for name in after) < 0.01
    caplog.clear()
    run(named, roots, tmp_path / "run", minutes=0.0)
    assert "no state" not in caplog.text


def test_another_course_is_refused_where_one_was_begun(course: Course, roots: list[Path], whole: Path) -> None:
    with pytest.raises(ConfigError, match="holds another course"):
        run(course.model_copy(update={"seed": 1}), roots, whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": {"garden": 1.0}}, "garden is none of"),
        ({"terms": ("paid",)}, "no training photo is left"),
        ({"autoencoder": "nowhere"}, "nowhere: this folder of the course's autoencoder lies below none"),
        ({"stage": {"steps": 2, "frozen": ["residuals.none"]}}, r"frozen: the network has no residuals\.none"),
    ],
)
def test_what_does_not_fit_is_refused(
    change: dict[str, Any], message: str, course: Course, roots: list[Path], tmp_path: Path
) -> None:
    wrong = Course.model_validate({**course.model_dump(), **change})
    with pytest.raises(ConfigError, match=message):
        run(wrong, roots, tmp_path / "run")


def test_the_command_starts_it_and_says_how_to_go_on(course: Course, roots: list[Path], tmp_path: Path) -> None:
    file, out = tmp_path / "tiny.yaml", tmp_path / "run"
    file.write_text(yaml.safe_dump(course.model_dump(mode="json")))
    assert read_course(file) == course
    call = ["course", str(file), "--pool", str(roots[0] / "pool.csv"), "--photos", str(roots[0]), "--out", str(out)]
    part = CliRunner().invoke(app, [*call, "--minutes", "0"])
    assert part.exit_code == 0, part.output
    assert f"go on with: vilaco course {file}" in part.stderr
    ended = CliRunner().invoke(app, call)
    assert ended.exit_code == 0, ended.output
    assert f"{out}: 24 pictures, validation P-F1" in ended.stdout
    assert f"best model: {out / 'best'}" in ended.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "is no YAML"),
        ("name: x", "model: Field required"),
        ("name: x\nmodel: {method: vilaco}\nstage: {steps: 3}\nspeed: 3", "speed"),
    ],
)
def test_a_wrong_file_is_named_with_its_fault(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "course.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_course(tmp_path / "course.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_course(tmp_path / "none.yaml")


def test_segmentations_that_fit_no_photo_of_a_source_are_left_out(course: Course, roots: list[Path]) -> None:
    photos = read_pool(roots[0] / "pool.csv")
    fitting = _source(course, [photo for photo in photos if photo.source == "street"], roots)
    others = _source(course, [photo for photo in photos if photo.source == "holiday"], roots)
    assert (fitting.segments, others.segments) == ((roots[0] / "classes",), ())


def test_arms_of_a_race_differ_in_what_they_say_and_in_nothing_else() -> None:
    script = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/race.py"))
    base = {"model": {"residuals": {"depth": 3, "channels": 96}}, "seed": 1}
    changed = script["changed"](base, {"model.residuals.depth": 5, "stage.steps": 9})
    assert changed == {"model": {"residuals": {"depth": 5, "channels": 96}}, "seed": 1, "stage": {"steps": 9}}
    assert base == {"model": {"residuals": {"depth": 3, "channels": 96}}, "seed": 1}
    races = sorted((Path(__file__).parents[2] / "benchmarks/courses/races").glob("*.yaml"))
    assert races
    for race in races:
        arms = script["read_race"](race)
        assert all(course.name == name for name, course in arms.items())
        assert len({(course.stage.steps, course.stream.batch_size, course.seed) for course in arms.values()}) == 1


def test_the_gain_of_a_race_is_the_mean_of_paired_differences() -> None:
    script = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/race.py"))
    first = np.random.default_rng(0).random(400)
    mean, low, high = script["difference"](first, first + 0.1)
    assert (mean, low, high) == (0.1, 0.1, 0.1)  # the pictures' own spread does not count
    mean, low, high = script["difference"](first, np.random.default_rng(1).random(400))
    assert low < mean < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(2 / 12 / 400), rel=0.1)


def test_the_courses_of_the_package_are_courses() -> None:
    files = sorted((Path(__file__).parents[2] / "benchmarks/courses").glob("*.yaml"))
    assert files
    for file in files:
        assert read_course(file).name == file.stem
        assert isinstance(read_course(file).model, ViLaCoConfig)
