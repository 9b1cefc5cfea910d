"""The models that come with the package, and how a model's name becomes a folder."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from vilaco.errors import ModelError

DEFAULT = "research"


@dataclass(frozen=True)
class ModelReference:
    """A model that can be loaded: its name as shown in results, and its folder."""

    name: str
    folder: Path


def shipped_models() -> list[ModelReference]:
    """The models inside the package."""
    home = Path(str(files(__package__)))
    return [ModelReference(path.parent.name, path.parent) for path in sorted(home.glob("*/config.json"))]


def shared_encoder(fingerprint: str) -> Path:
    """Where the graph of a frozen encoder lies that several shipped models share."""
    return Path(str(files(__package__))) / "encoders" / f"{fingerprint[:16]}.onnx"


def shared_encoders() -> list[Path]:
    """The graphs of frozen encoders inside the package."""
    return sorted((Path(str(files(__package__))) / "encoders").glob("*.onnx"))


def find_model(name: str | Path = DEFAULT) -> ModelReference:
    """Find a model by name.

    Args:
        name: A shipped model's name, a folder, or a hub name ``org/name[@revision]``.

    Returns:
        The model and its local folder; a hub model is fetched first unless it is in the hub's cache.

    Raises:
        ModelError: If there is no such model.
    """
    if not str(name):
        raise ModelError("the name of the model is empty")
    for model in shipped_models():
        if str(name) == model.name:
            return model
    folder = Path(name)
    if folder.is_dir():
        return ModelReference(folder.resolve().name, folder)
    if str(name).count("/") == 1:
        return ModelReference(str(name), _fetch(str(name)))
    shipped = ", ".join(model.name for model in shipped_models())
    raise ModelError(f"{name}: no such model; give a folder, a hub name org/name[@revision], or one of: {shipped}")


def _fetch(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError:
        raise ModelError(f"{name}: hub models need huggingface_hub; pip install 'vilaco[train]'") from None
    repository, _, revision = name.partition("@")
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=["config.json", "model.safetensors", "*.onnx", "README.md"],
            )
        )
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{name}: neither a local folder nor to be had from the hub ({reason})") from None
