"""Start a network from the weights of another."""

from pathlib import Path

from vilaco.errors import ModelError
from vilaco.method.checkpoint import load_checkpoint
from vilaco.method.vilaco import ViLaCo


def take_up(model: ViLaCo, folder: Path, *, grown: bool = False) -> None:
    """Load the weights of a model folder into a network.

    Args:
        model: The network.
        folder: Of the model.
        grown: Whether the network may have parts that the model lacks; they stay as they are.

    Raises:
        ModelError: If the folder holds another network.
    """
    state, wanted = load_checkpoint(folder, model.encoder)[0].trainable_state(), model.trainable_state()
    if grown:
        state = {**{name: value for name, value in wanted.items() if name not in state}, **state}
    for name in sorted(state.keys() | wanted.keys()):
        if name not in state or name not in wanted or state[name].shape != wanted[name].shape:
            raise ModelError(f"{folder}: not the recipe's network; they differ in {name}")
    model.load_trainable_state(state)
