"""A trained model as a folder: ``config.json``, ``model.safetensors`` and, where one was written, its card.

The folder loads alone. It holds the trained weights and the encoder's name and fingerprint, never the encoder.
"""

import hashlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from vilaco import __version__
from vilaco.calibration import Calibration
from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.errors import ModelError
from vilaco.files import write_atomically
from vilaco.method.methods import MethodConfig, build_network, field_name
from vilaco.method.network import PatchNetwork

CONFIG, WEIGHTS = "config.json", "model.safetensors"


class CheckpointConfig(BaseModel):
    """What ``config.json`` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vilaco_version: str
    encoder_name: str
    encoder_fingerprint: str
    model: MethodConfig
    trained_with: dict[str, Any] = {}  # recipe and data summary, for the record
    calibration: Calibration | None = None  # written by `vilaco calibrate`


def save_checkpoint(model: PatchNetwork, folder: Path, *, trained_with: dict[str, Any] | None = None) -> None:
    """Write a model folder; each of its files is replaced whole, the configuration last.

    Args:
        model: The trained network.
        folder: Where to; made if missing.
        trained_with: JSON-ready facts about the training, kept for the record.
    """
    config = CheckpointConfig(
        vilaco_version=__version__,
        encoder_name=model.encoder.name,
        encoder_fingerprint=model.encoder.fingerprint,
        model=model.config,
        trained_with=trained_with or {},
    )
    state = {name: value.detach().cpu().contiguous() for name, value in model.trainable_state().items()}
    write_atomically(folder / WEIGHTS, save_tensors(state))
    write_atomically(folder / CONFIG, config.model_dump_json(indent=2).encode())


def load_checkpoint(folder: Path, encoder: VisionLanguageEncoder | None = None) -> tuple[PatchNetwork, str]:
    """Read a model folder.

    Args:
        folder: Holds ``config.json`` and ``model.safetensors``.
        encoder: A loaded encoder to share, where one is at hand.

    Returns:
        The network in eval mode, and the SHA-256 of its weight file.

    Raises:
        ModelError: If a file is missing or damaged, or the encoder at hand is not the one trained with.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: not a model folder, {name} is missing")
    try:
        config = CheckpointConfig.model_validate_json((folder / CONFIG).read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise ModelError(f"{folder / CONFIG}: {field_name(first['loc'])}: {first['msg']}") from None
    model = build_network(config.model, encoder)
    if model.encoder.fingerprint != config.encoder_fingerprint:
        raise ModelError(
            f"{folder}: trained on the encoder {config.encoder_name} with fingerprint "
            f"{config.encoder_fingerprint[:12]}, but the one found has {model.encoder.fingerprint[:12]}"
        )
    data = (folder / WEIGHTS).read_bytes()
    try:
        model.load_trainable_state(load_tensors(data))
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(f"{folder / WEIGHTS}: does not fit {CONFIG} ({str(error).splitlines()[0]})") from None
    return model.eval(), hashlib.sha256(data).hexdigest()
