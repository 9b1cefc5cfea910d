"""Recipes: everything that defines a training run, as YAML with overrides, checked before anything is loaded."""

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from vilaco.data.forging import StreamConfig
from vilaco.data.loading import AugmentationConfig
from vilaco.errors import ConfigError
from vilaco.method.methods import MethodConfig, field_name
from vilaco.method.objective import ObjectiveConfig
from vilaco.method.self_forged import SelfForgedObjectiveConfig
from vilaco.method.vilaco import ViLaCoConfig
from vilaco.training.mean_teacher import TeacherConfig
from vilaco.training.picture_store import StoreConfig
from vilaco.training.stage import ForgedStageConfig, RoundConfig

ABLATIONS: dict[str, tuple[str, ...]] = {
    "coarse": ("objective.coarse=false", "model.score_from=fine"),
    "fine": ("objective.fine=false", "model.map_from=coarse", "model.score_from=coarse"),
    "consistency": ("objective.consistency=false",),
    "adapter": ("model.adapter=null",),
    "prompts": ("model.prompt.context_length=0",),
    "aggregator": ("model.aggregator=null",),
}
OF_PAPERS_LOSSES = ("coarse", "fine")
"""What cannot be left out where forgeries are trained on, whose image losses have one weight."""


class TrainingConfig(BaseModel):
    """Settings of the optimisation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(100, ge=1)
    batch_size: int = Field(32, ge=2)  # over all devices; half authentic, half tampered
    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(0.01, ge=0)  # AdamW's default; the paper gives none
    gradient_clip: float | None = Field(1.0, gt=0)
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"  # auto: bfloat16 where the hardware multiplies it
    validation_share: float = Field(0.15, gt=0, lt=0.5)  # of the training images, held out by group
    cache_views: int | None = Field(
        4, ge=1
    )  # frozen features kept on disk per image, the clean one included; null: none
    example_every: int = Field(10, ge=1)  # epochs between example overlays
    num_workers: int = Field(0, ge=0)  # processes that decode; from the cache none are needed
    seed: int = Field(0, ge=0, lt=2**31)  # PyTorch's seeds have 64 bits, and the lower half counts steps

    @field_validator("batch_size")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even, so that a batch is half authentic and half tampered")
        return value


class SelfTrainingConfig(BaseModel):
    """Settings of training by forging and self-training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stream: StreamConfig = StreamConfig()
    objective: SelfForgedObjectiveConfig = SelfForgedObjectiveConfig()
    forged: ForgedStageConfig = ForgedStageConfig()
    rounds: int = Field(1, ge=0)  # of self-training
    round: RoundConfig = RoundConfig()
    teacher: TeacherConfig = TeacherConfig()  # of the user's tampered images, in a round
    store: StoreConfig | None = StoreConfig()  # pictures made ahead; null: on the spot, each used once
    num_workers: int = Field(1, ge=0)  # processes that read pictures, or make them on the spot


class Recipe(BaseModel):
    """A whole training run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    model: MethodConfig = ViLaCoConfig()
    objective: ObjectiveConfig = ObjectiveConfig()  # ViLaCo's; the losses of the other methods have no settings
    augmentation: AugmentationConfig = AugmentationConfig()
    training: TrainingConfig = TrainingConfig()
    self_training: SelfTrainingConfig | None = None  # ours: forge examples, then learn from one's own drawings

    @field_validator("objective")
    @classmethod
    def _used(cls, value: ObjectiveConfig, info: ValidationInfo) -> ObjectiveConfig:
        model = info.data.get("model")
        if model is not None and not isinstance(model, ViLaCoConfig) and value != ObjectiveConfig():
            raise ValueError(f"is ViLaCo's; the losses of {model.method!r} have no settings")
        return value

    @model_validator(mode="after")
    def _reads_pixels(self) -> Self:
        native = isinstance(self.model, ViLaCoConfig) and self.model.residuals is not None
        if native != (self.self_training is not None):
            raise ValueError("model.residuals and self_training go together: residuals are learned from forgeries")
        return self

    @model_validator(mode="after")
    def _no_idle_settings(self) -> Self:
        if self.self_training is None:
            return self
        used = {name: getattr(self.training, name) for name in ("seed", "precision", "validation_share")}
        for name, idle in (
            ("objective", self.objective != ObjectiveConfig()),
            ("augmentation", self.augmentation != AugmentationConfig()),
            (f"training (but for {', '.join(used)})", self.training != TrainingConfig(**used)),
        ):
            if idle:
                raise ValueError(f"{name} is not looked at by a recipe that forges; set self_training")
        return self


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(entry.name.removesuffix(".yaml") for entry in files(__package__).joinpath("recipes").iterdir())


def load_recipe(name_or_path: str, *, overrides: Iterable[str] = (), without: Iterable[str] = ()) -> Recipe:
    """Read a recipe and apply overrides.

    Args:
        name_or_path: A shipped recipe's name, or a YAML file.
        overrides: ``section.key=value`` settings; the value is YAML.
        without: Boxes or losses of ViLaCo to leave out, keys of ``ABLATIONS``.

    Returns:
        The checked recipe.

    Raises:
        ConfigError: If a name, key or value is not known or out of range.

    Example:
        >>> load_recipe("paper", overrides=["training.epochs=3"], without=["adapter"]).model.adapter is None
        True
    """
    if name_or_path in recipe_names():
        text = files(__package__).joinpath("recipes", f"{name_or_path}.yaml").read_bytes()
    elif Path(name_or_path).is_file():
        text = Path(name_or_path).read_bytes()
    else:
        raise ConfigError(f"unknown recipe {name_or_path!r}: not a file, and the shipped ones are {recipe_names()}")
    values = _parse_yaml(text, source=name_or_path)
    if not isinstance(values, dict):
        raise ConfigError(f"{name_or_path}: holds no settings")
    forges = values.get("self_training") is not None
    settings = [*_ablation_settings(without, forges=forges), *overrides]
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator:
            raise ConfigError(f"{setting!r} is not of the form section.key=value")
        _assign(values, key.split("."), _parse_yaml(value, source=repr(setting)), setting)
    return parse_recipe(values, source=name_or_path)


def parse_recipe(values: Any, *, source: str | Path) -> Recipe:
    """Check the values of a recipe.

    Raises:
        ConfigError: Naming the first wrong field.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = field_name(first["loc"]) or "recipe"
        fault = "there is no such setting" if first["type"] == "extra_forbidden" else first["msg"]
        got = (
            "" if isinstance(first["input"], dict) else f" (got {first['input']!r})"
        )  # a section would fill the screen
        raise ConfigError(f"{source}: {where}: {fault}{got}") from None


def _parse_yaml(text: str | bytes, *, source: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: is no YAML ({' '.join(str(error).split())})") from None


def _ablation_settings(without: Iterable[str], *, forges: bool) -> list[str]:
    settings: list[str] = []
    for part in without:
        if part not in ABLATIONS:
            raise ConfigError(f"cannot leave out {part!r}; choose from {', '.join(ABLATIONS)}")
        if forges and part in OF_PAPERS_LOSSES:
            raise ConfigError(f"cannot leave out {part!r} of a recipe that forges; see self_training.objective")
        consistency = ("self_training.objective.consistency=0",)
        settings.extend(consistency if forges and part == "consistency" else ABLATIONS[part])
    return settings


def _assign(values: dict[str, Any], keys: Sequence[str], value: Any, setting: str) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{setting!r}: {key!r} is not a section")
    values[keys[-1]] = value
