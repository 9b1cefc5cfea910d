import pytest
import yaml
from pydantic import ValidationError

from vilaco.errors import ConfigError
from vilaco.method.methods import METHODS
from vilaco.training.recipe import ABLATIONS, Recipe, load_recipe, recipe_names


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
    if part is not None:
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


@pytest.mark.parametrize("name", ["quick", *BASELINES])
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
    ],
)
def test_wrong_settings_get_one_line(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_recipe("paper", overrides=overrides)
    assert "\n" not in str(caught.value)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="paper"):
        load_recipe("papr")
    with pytest.raises(ConfigError, match="aggregator"):
        load_recipe("paper", without=["nonsense"])


def test_recipes_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Recipe(name="x").training.epochs = 3  # type: ignore[misc]
