"""Start a network from the weights of another."""

from pathlib import Path

from vilaco.errors import ModelError
from vilaco.method.checkpoint import load_checkpoint
from vilaco.method.vilaco import ViLaCo


def take_up(model: ViLaCo, folder: Path) -> None:
    """Load the weights of a model folder into a network.

    Raises:
        ModelError: If the folder holds another network.
    """
    state, wanted = load_checkpoint(folder, model.encoder)[0].trainable_state(), model.trainable_state()
    for name in sorted(state.keys() | wanted.keys()):
        if name not in state or name not in wanted or state[name].shape != wanted[name].shape:
            raise ModelError(f"{folder}: not the recipe's network; they differ in {name}")
    model.load_trainable_state(state)
