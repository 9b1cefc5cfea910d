"""Parts that a trained network grows by: it draws as before until they learn, and they say what they promise."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from vilaco.encoders import EncoderConfig, load_encoder
from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.errors import ModelError
from vilaco.method.checkpoint import save_checkpoint
from vilaco.method.residuals import CoarseLevel, IdentityBlock, TracePrototypes
from vilaco.method.vilaco import ViLaCo, ViLaCoConfig
from vilaco.training.weights import take_up

MORE: dict[str, Any] = {
    "more_depth": 1,
    "more_dilations": (1, 2),
    "prototypes": 4,
    "coarse_channels": 16,
    "coarse_depth": 2,
}


@pytest.fixture(scope="module")
def encoder(tiny_clip: Path) -> VisionLanguageEncoder:
    return load_encoder(EncoderConfig(family="clip", checkpoint=str(tiny_clip)))


def grown_settings(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        **settings,
        "residuals": {**settings["residuals"], **MORE},
        "native_decoder": {**settings.get("native_decoder", {}), "more_depth": 1, "fine_depth": 2},
    }


def test_a_grown_network_draws_as_before_and_every_new_part_learns(
    tiny_forensic: dict[str, Any], encoder: VisionLanguageEncoder, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    before = ViLaCo(ViLaCoConfig.model_validate(tiny_forensic), encoder).eval()
    save_checkpoint(before, tmp_path)
    grown = ViLaCo(ViLaCoConfig.model_validate(grown_settings(tiny_forensic)), encoder).eval()
    with pytest.raises(ModelError, match="not the recipe's network"):
        take_up(grown, tmp_path)
    take_up(grown, tmp_path, grown=True)
    given = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 72, 104) * 255, torch.rand(2, 5, 9, 13)
    first, second = before(*given), grown(*given)
    assert torch.equal(first.mask_logits, second.mask_logits)
    assert torch.equal(first.detection_scores, second.detection_scores)
    new = [weight for name, weight in grown.named_parameters() if name not in before.trainable_state()]
    optimiser = torch.optim.SGD(new, lr=0.1)
    for _ in range(3):  # what lies before a weight that is zero moves once that one has
        optimiser.zero_grad()
        grown(*given).mask_logits.square().mean().backward()
        optimiser.step()
    still = [
        name
        for name, weight in grown.named_parameters()
        if name not in before.trainable_state() and not name.startswith("encoder.") and not weight.grad.any()
    ]
    assert not still


def test_a_model_that_has_what_the_network_lacks_is_refused(
    tiny_forensic: dict[str, Any], encoder: VisionLanguageEncoder, tmp_path: Path
) -> None:
    save_checkpoint(ViLaCo(ViLaCoConfig.model_validate(grown_settings(tiny_forensic)), encoder), tmp_path)
    with pytest.raises(ModelError, match="they differ in"):
        take_up(ViLaCo(ViLaCoConfig.model_validate(tiny_forensic), encoder), tmp_path, grown=True)


@pytest.mark.parametrize("size", [(1, 1), (5, 8), (6, 3)])
def test_new_parts_take_any_shape(size: tuple[int, int]) -> None:
    features = torch.rand(2, 16, *size)
    for part in (IdentityBlock(16, 2), TracePrototypes(16, 3), CoarseLevel(16, 24, 2)):
        assert_close(part(features), features)


def test_a_cell_from_elsewhere_is_unlike_every_prototype() -> None:
    """Twelve cells of one history and one of the opposite; the query answers to neither more than to the other."""
    part = TracePrototypes(8, 1, key_channels=2)
    torch.nn.init.zeros_(part.key.bias)
    torch.nn.init.zeros_(part.key.weight)
    part.key.weight.data[:, :2, 0, 0] = torch.eye(2)
    part.queries.data = torch.tensor([[0.0, 1.0]])
    features = torch.zeros(1, 8, 1, 13)
    features[:, 0] = 1.0
    features[:, 0, 0, 12] = -1.0
    expected = torch.tensor([[[[1.0] * 12 + [-1.0]]]])  # the prototype is (12 - 1) / 13 of the first direction
    assert_close(part.similarities(features), expected)
