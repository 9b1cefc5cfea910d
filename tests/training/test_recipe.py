from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from vilaco.errors import ConfigError
from vilaco.method.methods import METHODS
from vilaco.training.recipe import ABLATIONS, OF_PAPERS_LOSSES, Recipe, load_recipe, recipe_names


def test_paper_recipe_is_the_papers_section_4_1() -> None:
    recipe = load_recipe("paper")
    training = recipe.training
    assert (training.epochs, training.batch_size, training.learning_rate) == (100, 32, 1e-4)
    assert recipe.model.image_size == 256
    assert recipe.model.prompt.words == ("real", "fake")
    assert recipe.objective.warmup_share == 0.1
    assert (recipe.augmentation.rescale, recipe.augmentation.resave) == (0, 0)


BASELINES = sorted(set(METHODS) - {"vilaco"})


@pytest.mark.parametrize("name", sorted(set(recipe_names()) - set(BASELINES)))
@pytest.mark.parametrize("part", [None, *ABLATIONS])
def test_every_recipe_is_valid_with_every_ablation(name: str, part: str | None) -> None:
    whole = load_recipe(name)
    assert whole.name == name
    if part is None:
        return
    if whole.self_training is not None and part in OF_PAPERS_LOSSES:
        with pytest.raises(ConfigError, match=f"cannot leave out '{part}' of a recipe that forges"):
            load_recipe(name, without=[part])
    else:
        assert load_recipe(name, without=[part]) != whole


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_differs_from_the_paper_in_its_method_alone(name: str) -> None:
    recipe, paper = load_recipe(name), load_recipe("paper")
    assert (recipe.name, recipe.model.method) == (name, name)
    assert (recipe.model.encoder, recipe.model.image_size) == (paper.model.encoder, paper.model.image_size)
    assert recipe.model_dump(exclude={"name", "model"}) == paper.model_dump(exclude={"name", "model"})


def test_a_recipe_written_before_there_were_methods_is_vilacos(tmp_path) -> None:
    values = load_recipe("quick").model_dump(mode="json")
    assert values["model"].pop("method") == "vilaco"
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    assert load_recipe(str(path)) == load_recipe("quick")


@pytest.mark.parametrize("name", ["quick", "default", *BASELINES])
def test_a_recipe_file_round_trips(tmp_path, name: str) -> None:
    recipe = load_recipe(name, overrides=["training.seed=7"])
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    assert load_recipe(str(path)) == recipe


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["training.epoch=3"], "training.epoch: there is no such setting"),
        (["training.batch_size=5"], "even"),
        (["model.score_from=both", "model.map_from=coarse"], "score_from"),
        (["model.method=milfcn"], "'milfcn'.*'mil_fcn'"),
        (["model.method=mil_fcn", "model.head.channel=8"], r"paper: model\.head\.channel: there is no such setting"),
        (["model.method=mil_fcn", "objective.fine=false"], "objective: .* the losses of 'mil_fcn' have no settings"),
        (["training.epochs"], "not of the form"),
        (["name.x=1"], "not a section"),
        (["training.seed=[1"], r"'training\.seed=\[1': is no YAML"),
        (["training.seed=-1"], r"training\.seed: .* greater than or equal to 0"),
    ],
)
def test_wrong_settings_get_one_line(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_recipe("paper", overrides=overrides)
    assert "\n" not in str(caught.value)


def test_default_recipe_looks_at_pixels_forges_and_trains_itself() -> None:
    recipe = load_recipe("default")
    assert recipe.model.residuals is not None
    assert recipe.model.copy_move is not None
    assert recipe.self_training.rounds == 1
    assert recipe.self_training.objective.consistency > 0
    changed = load_recipe(
        "default",
        overrides=[
            "model.residuals.kinds=[dct, learned]",
            "model.copy_move=null",
            "self_training.forged.steps=7",
            "self_training.stream.forge.splice=0",
            "training.seed=5",
        ],
        without=["consistency", "adapter"],
    )
    assert changed.model.residuals.kinds == ("dct", "learned")
    assert changed.model.copy_move is changed.model.adapter is None
    assert (changed.self_training.forged.steps, changed.self_training.forged.warmup_steps) == (7, 100)
    assert changed.self_training.stream.forge.splice == changed.self_training.objective.consistency == 0
    assert changed.self_training.stream.forge.small_share == 0.2  # what was not named stays as it was


@pytest.mark.parametrize(
    "setting",
    [
        "self_training.round.steps=5",
        "self_training.round.warmup_steps=5",
        "self_training.forged.save_every=5",
        "self_training.stream.forge.text=0.5",
        "self_training.objective.image=0.5",
        "model.residuals.depth=5",
        "model.encoder.output_stride=16",
    ],
)
def test_a_setting_changes_itself_alone(setting: str) -> None:
    name, _, value = setting.partition("=")

    def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        parts = [flat(v, f"{prefix}{k}.") if isinstance(v, dict) else {f"{prefix}{k}": v} for k, v in values.items()]
        return {key: leaf for part in parts for key, leaf in part.items()}

    before = flat(load_recipe("default").model_dump())
    after = flat(load_recipe("default", overrides=[setting]).model_dump())
    assert {key: after[key] for key in after if after[key] != before[key]} == {name: float(value)}


@pytest.mark.parametrize(
    ("name", "overrides", "words"),
    [
        ("default", ["model.residuals=null"], "need residuals"),
        ("default", ["model.residuals=null", "model.copy_move=null"], "residuals and self_training go together"),
        ("default", ["self_training=null"], "residuals and self_training go together"),
        ("paper", ["model.residuals={}"], "residuals and self_training go together"),
        ("paper", ["self_training={}"], "residuals and self_training go together"),
        ("paper", ["model.copy_move={}"], "need residuals"),
        ("default", ["self_training.stream.sizes=[[100, 64]]"], "multiple of 8"),
        ("default", ["self_training.stream.sizes=[]"], "at least 1"),
        (
            "default",
            ["self_training.stream.forge.size=[64, 64]"],
            "forge: .*size is that of the batch; set stream.sizes",
        ),
        ("default", ["self_training.forged.steps=0"], r"self_training\.forged\.steps"),
        ("default", ["self_training.teacher.least_share=0"], r"self_training\.teacher\.least_share"),
        ("default", ["self_training.tampered_share=0.1"], r"self_training\.tampered_share: there is no such setting"),
        ("default", ["training.epochs=3"], "training .* is not looked at by a recipe that forges"),
        ("default", ["objective.fine=false"], "objective is not looked at"),
        ("default", ["augmentation.flip=false"], "augmentation is not looked at"),
    ],
)
def test_what_does_not_go_together_gets_one_line(name: str, overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_recipe(name, overrides=overrides)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 200  # and no section printed whole


@pytest.mark.parametrize("content", [b"", b"- 1\n", b"model: [", "name: caf\xe9".encode("latin-1")])
def test_a_file_that_is_no_recipe_gets_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"mine\.yaml: (is no YAML|holds no settings)") as caught:
        load_recipe(str(path), overrides=["training.seed=1"])
    assert "\n" not in str(caught.value)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="paper"):
        load_recipe("papr")
    with pytest.raises(ConfigError, match="aggregator"):
        load_recipe("paper", without=["nonsense"])


def test_recipes_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Recipe(name="x").training.epochs = 3  # type: ignore[misc]
