"""Run a model folder with PyTorch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from vilaco.calibration import Calibration
from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.errors import ModelError
from vilaco.matching import self_matches
from vilaco.method.checkpoint import CONFIG, CheckpointConfig, load_checkpoint
from vilaco.method.network import NetworkOutput, PatchNetwork
from vilaco.method.residuals import BLOCK, FINE, HALO
from vilaco.method.vilaco import ViLaCo, pad_to_blocks
from vilaco.runtimes import RuntimeOutput
from vilaco.runtimes.tiles import fill_in_tiles

TILE = 1024
"""Pixels along a side of what goes through the front end at once; bounds memory, changes no result."""


class TorchRuntime:
    """A network behind the runtime contract.

    Args:
        model: The network; put into eval mode.
        fingerprint: SHA-256 of its weights.
        device: Where it runs; a GPU when there is one, else the CPU.
        calibration: What the localizer is to make of its answers.

    Raises:
        ModelError: If nothing runs on that device here.
    """

    def __init__(
        self,
        model: PatchNetwork,
        *,
        fingerprint: str,
        device: str | torch.device | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self.device = _usable(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.to(self.device).eval()
        self.fingerprint = fingerprint
        self.image_size = model.config.image_size
        self.reads_pixels = model.reads_pixels
        self.encoder_name = model.encoder.name
        self.calibration = calibration

    @classmethod
    def load(
        cls, folder: Path, *, device: str | None = None, encoder: VisionLanguageEncoder | None = None
    ) -> "TorchRuntime":
        """Load a model folder, with an encoder to share where one is at hand.

        Raises:
            ModelError: If it is not one, its encoder is not to be had, or nothing runs on that device here.
        """
        model, fingerprint = load_checkpoint(folder, encoder)
        config = CheckpointConfig.model_validate_json((folder / CONFIG).read_bytes())
        return cls(model, fingerprint=fingerprint, device=device, calibration=config.calibration)

    @torch.inference_mode()
    def __call__(self, views: np.ndarray, pixels: Sequence[np.ndarray]) -> RuntimeOutput:
        """Run on RGB images; see :class:`vilaco.runtimes.Runtime`."""
        batch = torch.from_numpy(views).to(self.device).permute(0, 3, 1, 2).float() / 255
        if isinstance(self.model, ViLaCo) and self.model.reads_pixels:
            outputs = [self._native(self.model, view[None], each) for view, each in zip(batch, pixels, strict=True)]
        else:
            outputs = [self.model(batch)]
        return RuntimeOutput(
            detection_scores=torch.cat([output.detection_scores for output in outputs]).float().cpu().numpy(),
            localization_logits=[
                logits.float().cpu().numpy() for output in outputs for logits in output.localization_logits
            ],
        )

    def _native(self, model: ViLaCo, view: torch.Tensor, pixels: np.ndarray) -> NetworkOutput:
        """One picture of any size: the front end in tiles, everything behind it on the whole."""
        assert model.residuals is not None
        front_end = model.residuals.front_end
        padded = pad_to_blocks(torch.from_numpy(pixels).permute(2, 0, 1)[None]).to(self.device)
        height, width = padded.shape[2:]
        fine = torch.empty(1, front_end.fine_channels, height // FINE, width // FINE, device=self.device)
        cells = torch.empty(1, front_end.channels, height // BLOCK, width // BLOCK, device=self.device)
        fill_in_tiles(
            (fine, cells),
            lambda rows, columns: front_end(padded[:, :, rows, columns].float()),
            (height, width),
            tile=TILE,
            halo=HALO,
        )
        matches = torch.from_numpy(self_matches(pixels))[None].to(self.device) if model.reads_matches else None
        native = model.native_features(fine, cells, matches)
        return model.forward_patches(model.encoder.encode_patches(view), pixels.shape[:2], native)


def _usable(device: str | torch.device) -> torch.device:
    """A device that computes and gives its numbers back.

    Raises:
        ModelError: If there is none of that name here.
    """
    try:
        torch.zeros(1, device=device).cpu()
    except Exception as error:  # every kind of device has errors of its own
        raise ModelError(f"PyTorch cannot use the device '{device}' ({str(error).splitlines()[0]})") from error
    return torch.device(device)
