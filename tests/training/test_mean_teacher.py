"""What a teacher's drawings teach: targets and weights by hand, and the looks that they come from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from pictures import make_photo
from vilaco.encoders import EncoderConfig, load_encoder
from vilaco.images import resize_pixels
from vilaco.matching import self_matches
from vilaco.method.vilaco import ViLaCo, ViLaCoConfig
from vilaco.training.mean_teacher import MeanTeacher, TeacherConfig, soft_targets

PLAIN = TeacherConfig(sharpness=1, least_share=0.25, least_box_share=0.5)


def test_a_sure_map_is_its_own_target() -> None:
    everywhere = torch.ones(2, 2, dtype=torch.bool)
    target, weight = soft_targets(torch.tensor([[[0.9, 0.5], [0.2, 0.0]]]), everywhere, PLAIN)
    assert_close(target, torch.tensor([[0.9, 0.5], [0.2, 0.0]]), atol=1e-5, rtol=0)
    assert_close(weight, torch.tensor([[0.8, 0.0], [0.6, 1.0]]), atol=1e-5, rtol=0)


def test_a_faint_map_is_lifted_until_the_label_holds() -> None:
    """Odds 1/4, 1/9, 1/19, 1/99; the least share is the highest pixel, whose odds become 1."""
    everywhere = torch.ones(1, 4, dtype=torch.bool)
    target, weight = soft_targets(torch.tensor([[[0.2, 0.1, 0.05, 0.01]]]), everywhere, PLAIN)
    odds = torch.tensor([[1.0, 4 / 9, 4 / 19, 4 / 99]])
    assert_close(target, odds / (1 + odds))
    assert_close(weight, 1 - 2 * odds / (1 + odds), atol=1e-6, rtol=0)


def test_sharpness_multiplies_the_logits() -> None:
    sharp = PLAIN.model_copy(update={"sharpness": 2.0})
    target, _ = soft_targets(torch.tensor([[[0.8, 0.2]]]), torch.ones(1, 2, dtype=torch.bool), sharp)
    assert_close(target, torch.tensor([[16 / 17, 1 / 17]]))


def test_pixels_on_which_the_looks_differ_weigh_less() -> None:
    maps = torch.tensor([[[0.9, 1.0]], [[0.9, 0.6]]])
    target, weight = soft_targets(maps, torch.ones(1, 2, dtype=torch.bool), PLAIN)
    assert_close(target, torch.tensor([[0.9, 0.8]]), atol=1e-5, rtol=0)
    assert_close(weight, torch.tensor([[0.8, 0.6 * 0.6]]), atol=1e-5, rtol=0)


def test_outside_boxes_all_is_authentic_for_certain_and_inside_a_share_is_tampered() -> None:
    may_be = torch.tensor([[True, True, False, False]])
    target, weight = soft_targets(torch.tensor([[[0.1, 0.01, 0.99, 0.5]]]), may_be, PLAIN)
    odds = (1 / 99) / (1 / 9)  # of the second against the first, which is lifted to 1
    assert_close(target, torch.tensor([[0.5, odds / (1 + odds), 0.0, 0.0]]))
    assert_close(weight[0, 2:], torch.ones(2))


@pytest.mark.parametrize("seed", range(5))
def test_the_least_share_is_tampered_whatever_the_map(seed: int) -> None:
    maps = torch.rand(3, 10, 10, generator=torch.Generator().manual_seed(seed)) * 0.1**seed
    target, weight = soft_targets(maps, torch.ones(10, 10, dtype=torch.bool), TeacherConfig())
    assert (target >= 0.5 - 1e-6).sum() >= 2
    assert target.argmax() == maps.mean(dim=0).argmax()
    assert weight.min() >= 0
    assert weight.max() <= 1


@pytest.fixture
def picture() -> dict[str, torch.Tensor]:
    pixels = make_photo(np.random.default_rng(3), 64, 96).astype(np.uint8)
    arrays = {"pixels": pixels, "view": resize_pixels(pixels, (64, 64)), "matches": self_matches(pixels)}
    return {
        name: torch.from_numpy(array.transpose(2, 0, 1)[None].copy() if array.shape[-1] == 3 else array[None])
        for name, array in arrays.items()
    }


def test_a_teacher_is_the_average_alone_and_its_looks_lie_on_the_picture(
    tiny_forensic: dict[str, Any], tiny_clip: Path, picture: dict[str, torch.Tensor]
) -> None:
    torch.manual_seed(0)
    encoder = load_encoder(EncoderConfig(family="clip", checkpoint=str(tiny_clip)))
    model, other = (ViLaCo(ViLaCoConfig.model_validate(tiny_forensic), encoder).eval() for _ in range(2))
    teacher = MeanTeacher(model, TeacherConfig())
    assert teacher.network.encoder is encoder
    teacher.take_up(other.trainable_state())
    with torch.no_grad():
        expected = other(picture["view"].float() / 255, picture["pixels"].float(), picture["matches"])
    plain = teacher.look(picture, mirrored=False, size=(64, 96))
    assert_close(plain, expected.localization_logits[0].sigmoid())
    flipped = {name: value.flip(-1) for name, value in picture.items()}
    flipped["matches"][:, 3].neg_()
    assert_close(teacher.look(flipped, mirrored=True, size=(64, 96)), plain.flip(-1))
    assert teacher.look(picture, mirrored=False, size=(128, 192)).shape == (128, 192)
    shifted = MeanTeacher(other, TeacherConfig(), map_shift=0.875)
    assert_close(
        shifted.look(picture, mirrored=False, size=(64, 96)), (expected.localization_logits[0] + 0.875).sigmoid()
    )
    assert not any(weight.requires_grad for name, weight in teacher.network.named_parameters() if "encoder" not in name)
    assert any(weight.requires_grad for weight in model.parameters())
