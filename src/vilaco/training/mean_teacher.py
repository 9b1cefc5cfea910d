"""What a network learns of real tampered pictures: targets that the average of its own weights draws (ours).

Of a tampered picture the label says that something in it was tampered with, not where. In each step
the averaged network, which is steadier than the one that learns, looks at the picture several times: before its last
re-save, in a mirror, smaller. What it draws becomes a target for every pixel, and how sure and how steady it is the
pixel's weight. Authentic pictures need no teacher: they are authentic everywhere.

Source: mean teachers are Tarvainen and Valpola's (2017, arXiv 1703.01780), targets from a weak view for a strong one
Sohn et al.'s (FixMatch, 2020, arXiv 2001.07685). We depart from both: a target is shifted so that the picture's label
holds, and nothing is cut off at a fixed confidence.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F

from vilaco.method.vilaco import ViLaCo
from vilaco.training.picture_store import flipped_matches


class TeacherConfig(BaseModel):
    """How a teacher looks at tampered pictures, and what becomes of its drawings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scales: Annotated[tuple[Annotated[float, Field(gt=0.25, le=1)], ...], Field(min_length=1)] = (1.0, 0.75)
    """Of the pictures it looks at; at the first one, in a mirror too."""
    least_share: float = Field(0.02, gt=0, lt=1)  # of a tampered picture's pixels, tampered however low their map is
    least_box_share: float = Field(0.3, gt=0, lt=1)  # likewise, of the pixels in boxes, where there are any
    sharpness: float = Field(2.0, ge=1)  # what the map's logits are multiplied by


def soft_targets(maps: Tensor, may_be: Tensor, config: TeacherConfig) -> tuple[Tensor, Tensor]:
    """Turn a teacher's looks at one tampered picture into what is learned from it.

    With ``p`` the mean of the looks, its logits are shifted up until the least share of the pixels is at 0.5 or above,
    if it is not already: a tampered picture has a region, however faint, and the map's own shape says how large. The
    target is the sigmoid of the shifted logits, sharpened. A pixel weighs ``|2 target - 1|``, how sure that is, times 1
    less the looks' largest difference, how steady; so the middle, where outlines lie, weighs nothing.

    Args:
        maps: The looks, probabilities, shape ``(K, H, W)``.
        may_be: Where tampered pixels may lie, bool, shape ``(H, W)``; everywhere, or inside boxes. Other pixels are
            authentic for certain.
        config: See :class:`TeacherConfig`.

    Returns:
        Target and weight of each pixel, in [0, 1], each ``(H, W)``.

    Example:
        >>> maps, everywhere = torch.tensor([[[0.2, 0.5, 0.8, 0.9]]]), torch.ones(1, 4, dtype=torch.bool)
        >>> target, weight = soft_targets(maps, everywhere, TeacherConfig(sharpness=1))
        >>> target, weight
        (tensor([[0.2000, 0.5000, 0.8000, 0.9000]]), tensor([[0.6000, 0.0000, 0.6000, 0.8000]]))
    """
    share = config.least_share if may_be.all() else config.least_box_share
    least = max(1, round(share * int(may_be.sum())))
    logits = maps.float().mean(dim=0).logit(eps=1e-6)
    lowest = logits[may_be].topk(least).values[-1]
    target = (config.sharpness * (logits - lowest.clamp_max(0.0))).sigmoid()
    unsteady = maps.amax(dim=0) - maps.amin(dim=0)
    weight = (2 * target - 1).abs() * (1 - unsteady)
    return target * may_be, weight.where(may_be, torch.ones_like(weight))


class MeanTeacher:
    """The network with averaged weights.

    Args:
        model: The network that learns; its frozen encoder is shared.
        config: See :class:`TeacherConfig`.
        map_shift: Added to its maps' logits: what calibration found of the model that learning starts from, so that
            0.5 is the threshold that a user of that model meets.
    """

    def __init__(self, model: ViLaCo, config: TeacherConfig, *, map_shift: float = 0.0) -> None:
        self.config, self.map_shift = config, map_shift
        self.network = deepcopy(model, {id(model.encoder): model.encoder}).eval().requires_grad_(False)

    def take_up(self, weights: Mapping[str, Tensor]) -> None:
        """Become the average of this step."""
        device = next(iter(weights.values())).device
        self.network.to(device).load_trainable_state(weights)

    @torch.no_grad()
    def look(self, picture: Mapping[str, Tensor], *, mirrored: bool, size: tuple[int, int]) -> Tensor:
        """Draw one picture.

        Args:
            picture: ``pixels`` (1, 3, h, w) and ``view`` (1, 3, S, S) uint8, ``matches`` (1, 5, h / 8, w / 8).
            mirrored: Whether to look at it in a mirror.
            size: Of the map wanted, (height, width).

        Returns:
            Probabilities, ``(H, W)``, the way the picture is, mirrored or not.
        """
        pixels, view, matches = (picture[name].float() for name in ("pixels", "view", "matches"))
        if mirrored:
            pixels, view, matches = pixels.flip(-1), view.flip(-1), flipped_matches(matches, across=True, down=False)
        logits = self.network(view / 255, pixels, matches).localization_logits.float()
        probs = (logits + self.map_shift).sigmoid()
        drawn = F.interpolate(probs[:, None], size=size, mode="bilinear", align_corners=False)[0, 0]
        return drawn.flip(-1) if mirrored else drawn
