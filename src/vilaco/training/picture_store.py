"""Pictures made ahead: what a training step needs of a batch, kept on disk and used a few times before it goes.

Making a picture (forging it, searching it for repetitions, asking the frozen encoder, measuring its blocks) takes as
long as learning from it several times. So processes of their own make batches in front of the training, each is used
:attr:`StoreConfig.uses` times, in other flips, and then deleted: disk stays bounded. Which batch a step sees follows
from the seed and the step alone, so a training that was killed goes on as if nothing had happened.
"""

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save

from vilaco.data.forging import PictureBatch
from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.files import TEMPORARY
from vilaco.images import resize_pixels
from vilaco.method.residuals import BlockEvidence

ENDING = ".batch"
BYTES_PER_PIXEL = 3 + 2 * 164 / 64 + 1 / 8 + 2 * 5 / 64 + 0.5
"""Of a stored picture: its pixels, measurements, mask and repetitions, and about half a byte for the tokens."""


class StoreConfig(BaseModel):
    """How pictures made ahead are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uses: int = Field(8, ge=1)  # of each batch, before a fresh one takes its place
    chunk: int = Field(32, ge=1)  # batches that come and go together
    makers: int = Field(2, ge=1)  # processes that make pictures


@dataclass(frozen=True)
class ReusePlan:
    """Which batch each step sees.

    Batches come in chunks. Block ``b`` of the training uses every batch of the chunks ``b - uses + 1`` to ``b`` once,
    in an order of its own, so each batch is used ``uses`` times and never twice within a block.

    Example:
        >>> plan = ReusePlan(uses=2, chunk=1, seed=0)
        >>> [plan.number(step) for step in range(3)], plan.alive(1)  # the first block has only the first chunk
        ([0, 0, 1], range(0, 3))
    """

    uses: int
    chunk: int
    seed: int

    def number(self, step: int) -> int:
        """The batch of a step."""
        block, place = self._locate(step)
        return _order(self, block)[place]

    def alive(self, step: int) -> range:
        """Batches that the block of a step uses, and those of the next chunk, to be made meanwhile."""
        block, _ = self._locate(step)
        return range(max(0, block - self.uses + 1) * self.chunk, (block + 2) * self.chunk)

    def _locate(self, step: int) -> tuple[int, int]:
        """A step's block and its place in it."""
        block = 0
        while block < self.uses - 1 and step >= (block + 1) * self.chunk:  # the first blocks are shorter
            step -= (block + 1) * self.chunk
            block += 1
        full = self.uses * self.chunk
        return (block + step // full, step % full) if block == self.uses - 1 else (block, step)


@lru_cache(maxsize=4)
def _order(plan: ReusePlan, block: int) -> tuple[int, ...]:
    numbers = np.arange(max(0, block - plan.uses + 1) * plan.chunk, (block + 1) * plan.chunk)
    return tuple(np.random.default_rng([plan.seed, block]).permutation(numbers).tolist())


class Measurer:
    """What of a picture never changes while a network learns: the frozen encoder's tokens and the block measurements.

    Args:
        encoder: Frozen.
        view_size: Side of the squashed view that it looks at, in pixels.
        evidence: The measurements.
    """

    def __init__(self, encoder: VisionLanguageEncoder, view_size: int, evidence: BlockEvidence) -> None:
        self.encoder, self.view_size, self.evidence = encoder, view_size, evidence
        self.grid = encoder.grid(view_size, view_size)

    @torch.no_grad()
    def __call__(self, pixels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens ``(B, N, D)`` and measurements ``(B, C, H / 8, W / 8)`` of pixels ``(B, 3, H, W)`` uint8."""
        size = (self.view_size, self.view_size)
        views = np.stack([resize_pixels(picture.transpose(1, 2, 0), size).transpose(2, 0, 1) for picture in pixels])
        tokens = self.encoder.encode_patches(torch.from_numpy(views).float() / 255)
        return tokens, self.evidence(torch.from_numpy(pixels).float())


def prepared(batch: PictureBatch, measurer: Measurer) -> dict[str, torch.Tensor]:
    """A batch as a step takes it.

    Returns:
        ``pixels`` (B, 3, H, W) and ``mask`` (B, H, W) uint8; ``matches`` (B, 5, h, w), ``tokens`` (B, N, D) and
        ``evidence`` (B, C, h, w) float16; ``label`` (B,) int64.
    """
    tokens, evidence = measurer(batch.pixels)
    return {
        "pixels": torch.from_numpy(batch.pixels),
        "mask": torch.from_numpy(batch.mask),
        "matches": torch.from_numpy(batch.matches).half(),
        "tokens": tokens.half(),
        "evidence": evidence.half(),
        "label": torch.from_numpy(batch.label),
    }


def flipped(batch: dict[str, torch.Tensor], measurer: Measurer, *, across: bool, down: bool) -> dict[str, torch.Tensor]:
    """A batch seen in a mirror, left-right and upside down.

    The tokens are turned on their grid, which an encoder of content does not quite do itself.

    Args:
        batch: From :func:`prepared`.
        measurer: What measured it.
        across: Left-right.
        down: Upside down.
    """
    axes = [axis for axis, wanted in ((-1, across), (-2, down)) if wanted]
    if not axes:
        return batch
    tokens = batch["tokens"].unflatten(1, measurer.grid).flip([axis - 1 for axis in axes]).flatten(1, 2)
    return {
        "pixels": batch["pixels"].flip(axes),
        "mask": batch["mask"].flip(axes),
        "matches": flipped_matches(batch["matches"], across=across, down=down),
        "tokens": tokens,
        "evidence": measurer.evidence.flipped(batch["evidence"], across=across, down=down),
        "label": batch["label"],
    }


def flipped_matches(matches: torch.Tensor, *, across: bool, down: bool) -> torch.Tensor:
    """Self-matches ``(B, 5, h, w)`` seen in a mirror: their places turn, and so do the shifts in channels 3 and 4."""
    turned = matches.flip([axis for axis, wanted in ((-1, across), (-2, down)) if wanted])
    for channel, wanted in ((3, across), (4, down)):
        if wanted:
            turned[:, channel].neg_()
    return turned


class BatchStore:
    """A folder of batches, a file each; a file that is damaged counts as missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, number: int) -> Path:
        """Where a batch lies, or will."""
        return self.folder / f"{number:08d}{ENDING}"

    def write(self, number: int, batch: dict[str, torch.Tensor], about: dict[str, Any]) -> None:
        """Write a batch under a temporary name, then rename it; ``about`` is kept beside the arrays as JSON."""
        arrays = {name: value.numpy() for name, value in batch.items()}
        mask = arrays.pop("mask")
        arrays["mask"] = np.packbits(mask, axis=-1)
        arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
        facts = {"about": json.dumps({**about, "width": mask.shape[-1]}), "crc32": str(_crc32(arrays))}
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / TEMPORARY.replace("*", f"{number}-{os.getpid()}")
        unfinished.write_bytes(save(arrays, metadata=facts))
        os.replace(unfinished, self.path(number))

    def read(self, number: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """A batch and what is known about it; ``None`` where it is not there or damaged."""
        try:
            data = self.path(number).read_bytes()
            arrays = load_arrays(data)
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            facts = header["__metadata__"]
            about = json.loads(facts["about"])
            if int(facts["crc32"]) != _crc32(arrays):
                return None
            mask = np.unpackbits(arrays["mask"], axis=-1, count=about["width"])
        except (OSError, SafetensorError, ValueError, KeyError):
            return None
        return {name: torch.from_numpy(value) for name, value in {**arrays, "mask": mask}.items()}, about

    def numbers(self) -> Iterator[int]:
        """Batches that are there."""
        return (int(path.stem) for path in self.folder.glob(f"*{ENDING}"))

    def forget_others(self, alive: range) -> None:
        """Delete the batches outside of a range."""
        for number in self.numbers():
            if number not in alive:
                self.path(number).unlink(missing_ok=True)


def _crc32(arrays: dict[str, np.ndarray]) -> int:
    total = 0
    for name in sorted(arrays):
        total = zlib.crc32(arrays[name].tobytes(), total)
    return total
