import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from vilaco.method.baselines.vadclip import VadClip, VadClipConfig, VadClipOutput, topk_mean, vadclip_losses


@pytest.mark.parametrize(("n", "k"), [(1, 1), (15, 1), (16, 2), (64, 5)])
def test_topk_mean_takes_a_sixteenth_and_one_more(n: int, k: int) -> None:
    values = torch.randn(2, n, 3)
    expected = torch.stack([torch.stack([row.sort().values[-k:].mean() for row in image.T]) for image in values])
    assert_close(topk_mean(values), expected)


def test_losses_by_hand() -> None:
    odds = math.log(3.0)  # probability 3/4
    output = VadClipOutput(
        patch_logits=torch.tensor([[odds, -9.0], [-odds, -9.0]]),  # K = 1
        class_logits=torch.tensor([[[1.0, 0.0], [0.0, 3.0]], [[2.0, 0.0], [0.0, 2.0]]]),
        text_features=torch.tensor([[1.0, 0.0], [-3.0, 4.0]]),
        localization_logits=torch.zeros(2, 4, 4),
        detection_scores=torch.zeros(2),
    )
    losses = vadclip_losses(output, torch.tensor([1, 0]), epoch=0, num_epochs=1)
    assert losses.parts["mil"].item() == pytest.approx(-math.log(0.75))
    first = -math.log(math.exp(3) / (math.exp(1) + math.exp(3)))  # highest of each row: 1 for real, 3 for fake
    assert losses.parts["align"].item() == pytest.approx((first + math.log(2)) / 2)
    assert losses.parts["text"].item() == pytest.approx(3 / 5)
    assert losses.total.item() == pytest.approx(-math.log(0.75) + (first + math.log(2)) / 2 + 0.06)


@pytest.fixture(params=["coarse", "align"])
def network(request: pytest.FixtureRequest, tiny_clip: Path) -> VadClip:
    torch.manual_seed(0)
    settings = {
        "encoder": {"family": "clip", "checkpoint": str(tiny_clip)},
        "adapter": {"num_heads": 4},
        "read_from": request.param,
    }
    return VadClip(VadClipConfig.model_validate(settings)).eval()


def test_branches_by_loops_over_patches(network: VadClip) -> None:
    features = torch.randn(2, 24, 24)
    with torch.no_grad():
        output = network.forward_patches(features, (48, 32))  # 6 x 4 patches
        tokens = network.adapter(features, (6, 4))
        for b in range(2):
            logits = [network.coarse.classifier(token + network.coarse.ffn(token)) for token in tokens[b]]
            assert_close(output.patch_logits[b], torch.cat(logits))
            focus = F.normalize(sum(a * token for a, token in zip(logits, tokens[b], strict=True)), dim=0)
            for t in range(2):
                row = output.text_features[t] + focus
                row = row + network.align.ffn(row)
                cosines = torch.stack([F.cosine_similarity(token, row, dim=0) for token in tokens[b]])
                assert_close(output.class_logits[b, :, t], cosines / 0.07, rtol=1e-4, atol=1e-4)
    if network.config.read_from == "coarse":
        assert_close(output.detection_scores, output.patch_logits.sigmoid().topk(2).values.mean(dim=1))
        patches = output.patch_logits
    else:
        real, fake = (output.class_logits[..., t].topk(2).values.mean(dim=1) for t in (0, 1))
        assert_close(output.detection_scores, fake.exp() / (real.exp() + fake.exp()))
        patches = output.class_logits.softmax(dim=2)[..., 1].logit()
    expected = F.interpolate(patches.view(2, 1, 6, 4), size=(48, 32), mode="bilinear", align_corners=False)
    assert_close(output.localization_logits, expected[:, 0], rtol=1e-4, atol=1e-4)
