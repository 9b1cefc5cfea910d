"""Run a model folder with PyTorch."""

from pathlib import Path

import numpy as np
import torch

from vilaco.calibration import Calibration
from vilaco.method.checkpoint import CONFIG, CheckpointConfig, load_checkpoint
from vilaco.method.network import PatchNetwork
from vilaco.runtimes import RuntimeOutput


class TorchRuntime:
    """A network behind the runtime contract.

    Args:
        model: The network; put into eval mode.
        fingerprint: SHA-256 of its weights.
        device: Where it runs; a GPU when there is one, else the CPU.
        calibration: What the localizer is to make of its answers.
    """

    def __init__(
        self,
        model: PatchNetwork,
        *,
        fingerprint: str,
        device: str | torch.device | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.to(self.device).eval()
        self.fingerprint = fingerprint
        self.image_size = model.config.image_size
        self.encoder_name = model.encoder.name
        self.calibration = calibration

    @classmethod
    def load(cls, folder: Path, *, device: str | None = None) -> "TorchRuntime":
        """Load a model folder.

        Raises:
            ModelError: If it is not one, or its encoder is not to be had.
        """
        model, fingerprint = load_checkpoint(folder)
        config = CheckpointConfig.model_validate_json((folder / CONFIG).read_bytes())
        return cls(model, fingerprint=fingerprint, device=device, calibration=config.calibration)

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> RuntimeOutput:
        """Run on RGB images, shape ``(B, S, S, 3)``, uint8."""
        batch = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float() / 255
        output = self.model(batch)
        return RuntimeOutput(
            detection_scores=output.detection_scores.float().cpu().numpy(),
            localization_logits=output.localization_logits.float().cpu().numpy(),
        )
