"""The one interface of the frozen vision-language encoders (the two snowflakes of the paper's Figure 2).

An encoder puts patches of an image and texts into one joint space of width ``embed_dim``. Its weights never
learn: they need no gradient, the module stays in evaluation mode, and the image side runs without autograd.
The text side lets gradients flow *through* the frozen weights to the token embeddings it is given, which is
how the context vectors of a learnable prompt (paper, Eq. 2) are trained.

No feature is L2-normalized: image, patch and text features come as the encoder family itself returns them.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from vilaco.encoders.config import EncoderConfig

# Blocks encoded at once with ``tokens="blocks"``; bounds memory.
BLOCKS_PER_PASS = 64


class VisionLanguageEncoder(nn.Module, ABC):
    """A frozen pair of image and text encoder.

    A family implements four small methods (``_dense_features``, ``_pooled_features``, ``_token_embeddings``,
    ``_text_features``), fills the attributes below and calls :meth:`freeze` at the end of its ``__init__``.

    Attributes:
        config: The settings the encoder was built from.
        name: What results call it, e.g. ``"embedded"`` or ``"clip:openai/clip-vit-base-patch16"``.
        embed_dim: Width d of the joint space.
        token_dim: Width of the text encoder's token embeddings.
        max_prompt_tokens: Most tokens a prompt may have, start and end token not counted.
        cell_size: Pixels along each side of one cell of the dense grid.
        native_size: Side, in pixels, of the square image the pooled feature is taken at.
    """

    name: str
    embed_dim: int
    token_dim: int
    max_prompt_tokens: int
    cell_size: int
    native_size: int

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def _dense_features(self, pixels: Tensor) -> Tensor:
        """Pixels ``(B, 3, h * cell_size, w * cell_size)`` in [0, 1] to patch features ``(B, h * w, d)``."""

    @abstractmethod
    def _pooled_features(self, pixels: Tensor) -> Tensor:
        """Pixels ``(B, 3, native_size, native_size)`` in [0, 1] to image features ``(B, d)``."""

    @abstractmethod
    def _token_embeddings(self, texts: Sequence[str], *, special: bool) -> list[Tensor]:
        """Token embeddings ``(n_i, token_dim)`` of each text, with or without the start and end token."""

    @abstractmethod
    def _text_features(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        """Runs the text encoder.

        Args:
            embeddings: Token embeddings with start and end token, zeros after the end. Shape
                ``(T, L, token_dim)``.
            lengths: Tokens of each row, start and end token included. Shape ``(T,)``.

        Returns:
            Text features, shape ``(T, d)``.
        """

    def freeze(self) -> None:
        """Takes the gradient from every weight and enters evaluation mode for good."""
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode, whatever a parent module asks for."""
        return super().train(False)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the weights and the settings; the same in every process and on every machine.

        The checkpoint's name is left out, so a hub name and a local copy of it share one fingerprint. Read it
        before changing the weights' dtype.
        """
        digest = hashlib.sha256(self.config.model_dump_json(exclude={"checkpoint"}).encode())
        for key, tensor in sorted(self._fingerprint_tensors().items()):
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _fingerprint_tensors(self) -> dict[str, Tensor]:
        """What the fingerprint covers: weights as published; computed ones differ in last bits by machine."""
        return self.state_dict()

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """The grid ``(h, w)`` of the patch tokens of an image of this size.

        Dense tokens: each side divided by ``cell_size`` and rounded to the nearest whole number, at least 1.
        Blocks: ``grid_blocks`` along each side.
        """
        if self.config.tokens == "blocks":
            return self.config.grid_blocks, self.config.grid_blocks
        half = self.cell_size // 2
        return max(1, (height + half) // self.cell_size), max(1, (width + half) // self.cell_size)

    @torch.no_grad()
    def encode_patches(self, pixels: Tensor) -> Tensor:
        """Patch features in the joint space.

        Dense tokens: an image whose sides are no multiple of ``cell_size`` is first resized (bilinear,
        antialiased) to the nearest multiple, so that the grid always covers exactly the whole image. Give
        multiples where resampling could hurt the traces looked for. Blocks: see :func:`cut_blocks`.

        Args:
            pixels: RGB in [0, 1], any size. Shape ``(B, 3, H, W)``.

        Returns:
            Row-major patch features, not L2-normalized, shape ``(B, h * w, d)`` with ``(h, w) = grid(H, W)``.

        Raises:
            ValueError: If ``pixels`` has another shape or dtype, or is smaller than the grid of blocks.
        """
        check_pixels(pixels)
        h, w = self.grid(*pixels.shape[-2:])
        if self.config.tokens == "dense":
            size = (h * self.cell_size, w * self.cell_size)
            return self._dense_features(resize(pixels, size, mode="bilinear"))
        native = (self.native_size, self.native_size)
        chunk = max(1, BLOCKS_PER_PASS // len(pixels))
        blocks = cut_blocks(pixels, (h, w))
        features: list[Tensor] = []
        for start in range(0, len(blocks), chunk):
            batch = [resize(block, native, mode="bicubic") for block in blocks[start : start + chunk]]
            features.append(self._pooled_features(torch.cat(batch)))  # (chunk * B, d), block-major
        return torch.cat(features).unflatten(0, (h * w, -1)).transpose(0, 1).contiguous()  # (B, h * w, d)

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> Tensor:
        """One feature for the whole image, resized (bicubic, antialiased) to ``native_size`` on each side.

        Args:
            pixels: RGB in [0, 1], any size. Shape ``(B, 3, H, W)``.

        Returns:
            Image features, not L2-normalized, shape ``(B, d)``.

        Raises:
            ValueError: If ``pixels`` has another shape or dtype.
        """
        check_pixels(pixels)
        return self._pooled_features(resize(pixels, (self.native_size, self.native_size), mode="bicubic"))

    @torch.no_grad()
    def embed_words(self, words: Sequence[str]) -> list[Tensor]:
        """Token embeddings of each word, without special tokens and without positions.

        Args:
            words: Label words, e.g. ``["real", "fake"]``; a word may be several tokens, an empty one is none.

        Returns:
            For each word a tensor of shape ``(n_i, token_dim)``.
        """
        return self._token_embeddings(words, special=False)

    def encode_prompts(self, prompts: Sequence[Tensor]) -> Tensor:
        """Text features of prompts given as token embeddings; gradients reach the embeddings.

        The family's start and end tokens are put around each prompt and its position embeddings are added.

        Args:
            prompts: Token embeddings of each prompt, shape ``(L_i, token_dim)``; lengths may differ.

        Returns:
            Text features, not L2-normalized, shape ``(T, d)``.

        Raises:
            ValueError: If a prompt has another width or more than ``max_prompt_tokens`` tokens, or there is
                none.
        """
        if not prompts:
            raise ValueError("prompts must hold at least one prompt, got none.")
        for prompt in prompts:
            if prompt.ndim != 2 or prompt.shape[1] != self.token_dim:
                raise ValueError(f"a prompt must have shape (L, {self.token_dim}), got {tuple(prompt.shape)}.")
            if len(prompt) > self.max_prompt_tokens:
                raise ValueError(f"a prompt may have {self.max_prompt_tokens} tokens, got {len(prompt)}.")
        with torch.no_grad():
            start, end = self._token_embeddings([""], special=True)[0].split(1)
        rows = [torch.cat([start, prompt, end]) for prompt in prompts]
        lengths = torch.tensor([len(row) for row in rows], device=start.device)
        return self._text_features(pad_sequence(rows, batch_first=True), lengths)

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Text features of plain texts: shape ``(T, d)``, not L2-normalized.

        Raises:
            ValueError: If a text has more than ``max_prompt_tokens`` tokens, or there is none.
        """
        return self.encode_prompts(self.embed_words(texts))


def check_pixels(pixels: Tensor) -> None:
    """Refuses what is no batch of RGB images in floating point; the range is the caller's word.

    Raises:
        ValueError: If the shape is not ``(B, 3, H, W)`` with every side at least 1, or the dtype not
            floating.
    """
    if pixels.ndim != 4 or pixels.shape[1] != 3 or 0 in pixels.shape:
        raise ValueError(f"pixels must have shape (B, 3, H, W), got {tuple(pixels.shape)}.")
    if not pixels.is_floating_point():
        raise ValueError(f"pixels must be floating point in [0, 1], got {pixels.dtype}.")


def resize(pixels: Tensor, size: tuple[int, int], *, mode: str) -> Tensor:
    """Resizes ``(B, 3, H, W)`` to ``size`` = (height, width), antialiased; the same size is untouched.

    Example:
        >>> resize(torch.full((1, 3, 4, 6), 0.5), (2, 3), mode="bicubic").shape
        torch.Size([1, 3, 2, 3])
    """
    if pixels.shape[-2:] == size:
        return pixels
    return F.interpolate(pixels, size, mode=mode, align_corners=False, antialias=True).clamp(0.0, 1.0)


def cut_blocks(pixels: Tensor, grid: tuple[int, int]) -> list[Tensor]:
    """Cuts images into a grid of blocks that cover every pixel once, row by row.

    Block i of g along a side of n pixels spans ``[i * n // g, (i + 1) * n // g)``: sides that are no multiple
    of g give blocks that differ by one pixel.

    Args:
        pixels: Shape ``(B, 3, H, W)``.
        grid: Blocks along the height and the width.

    Returns:
        ``grid[0] * grid[1]`` tensors of shape ``(B, 3, about H / g, about W / g)``.

    Raises:
        ValueError: If a side has fewer pixels than blocks.

    Example:
        >>> [tuple(block.shape[-2:]) for block in cut_blocks(torch.zeros(1, 3, 5, 4), (2, 1))]
        [(2, 4), (3, 4)]
    """
    (rows, columns), (height, width) = grid, pixels.shape[-2:]
    if height < rows or width < columns:
        raise ValueError(f"an image of {height}x{width} pixels cannot be cut into {rows}x{columns} blocks.")
    tops = [i * height // rows for i in range(rows + 1)]
    lefts = [j * width // columns for j in range(columns + 1)]
    return [pixels[:, :, top:bottom, left:right] for top, bottom in pairwise(tops) for left, right in pairwise(lefts)]
