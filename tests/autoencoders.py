"""Tiny autoencoders with random weights: what they draw is noise, which shows."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from vilaco.data.forge.redraw import _decoder, _encoder


def write_autoencoder(folder: Path, *, with_norms: bool = True) -> Path:
    """The weights of one, half of them in either kind of file."""
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(_encoder(4, with_norms=with_norms).state_dict(), folder / "some_encoder.pth")
        save_file(_decoder(4, with_norms=with_norms).state_dict(), folder / "some_decoder.safetensors")
    return folder
