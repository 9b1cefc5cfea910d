"""Loading pre-trained `transformers` models: safetensors only, in silence, complete or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError
from transformers.utils import logging

from vilaco.errors import ModelError


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silences the library's progress bars and load reports and the hub's retries, and restores all afterwards."""
    verbosity, hub_verbosity = logging.get_verbosity(), hub_logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        hub_logging.set_verbosity(hub_verbosity)
        if bars:
            logging.enable_progress_bar()


def load_pretrained(model_class: Any, checkpoint: str, *, remedy: str, **options: Any) -> Any:
    """Loads a model in float32 from safetensors; pickled weights are never opened.

    Args:
        model_class: The `transformers` class to build.
        checkpoint: Hub name or local folder.
        remedy: What the user can do about missing files; ends the error message.
        **options: Passed to ``from_pretrained``.

    Returns:
        An instance of ``model_class``.

    Raises:
        ModelError: If files are missing or unreadable, or a weight of the model is not among them (the
            library would fill it with random numbers).
    """
    try:
        with quiet_transformers():
            model, report = model_class.from_pretrained(
                checkpoint,
                use_safetensors=True,
                dtype=torch.float32,
                attn_implementation="sdpa",
                output_loading_info=True,
                **options,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{checkpoint}: cannot load the encoder ({reason}). {remedy}") from error
    if report["missing_keys"]:
        raise ModelError(
            f"{checkpoint}: is no {model_class.__name__}, {len(report['missing_keys'])} of its weights are "
            f"missing, e.g. {min(report['missing_keys'])}. {remedy}"
        )
    return model
