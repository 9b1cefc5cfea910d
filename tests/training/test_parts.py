"""A part of a batch for each core: the gradients are the mean of the parts', whatever order threads run in."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from pictures import make_photo
from vilaco.data.forging import ForgedPictures, StreamConfig
from vilaco.errors import ConfigError
from vilaco.method.residuals import KINDS, BlockEvidence
from vilaco.method.self_forged import SelfForgedObjectiveConfig
from vilaco.method.vilaco import ViLaCo, ViLaCoConfig
from vilaco.training.picture_store import Measurer, prepared
from vilaco.training.self_forged import SelfForgedModule
from vilaco.training.stage import StageConfig

NO_DROPOUT = {"adapter": {"num_heads": 4, "dropout": 0.0}, "aggregator": {"dropout": 0.0}}


def make_module(tiny_forensic: dict[str, Any], **objective: Any) -> SelfForgedModule:
    torch.manual_seed(0)
    model = ViLaCo(ViLaCoConfig.model_validate({**tiny_forensic, **NO_DROPOUT}))
    config = SelfForgedObjectiveConfig.model_validate({"warmup_share": 0.0, **objective})
    module = SelfForgedModule(model, StageConfig(steps=10, warmup_steps=1), config, seed=3)
    trainer = SimpleNamespace(global_step=5, precision_plugin=SimpleNamespace(forward_context=nullcontext))
    module._trainer = trainer  # type: ignore[assignment]
    return module


@pytest.fixture
def batch(tmp_path: Path, tiny_forensic: dict[str, Any]) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), make_photo(rng, 110, 130))
    config = StreamConfig.model_validate({"batch_size": 6, "sizes": [[64, 96]]})
    forge = ForgedPictures(sorted(tmp_path.iterdir()), config=config, seed=0)
    encoder = ViLaCo(ViLaCoConfig.model_validate(tiny_forensic)).encoder
    made = prepared(forge.batch(0, 6), Measurer(encoder, 64, BlockEvidence(KINDS)))
    target = made.pop("mask").float()
    return {**made, "target": target, "weight": torch.ones_like(target)}


def gradients(module: SelfForgedModule, batch: dict[str, torch.Tensor], cores: int) -> dict[str, torch.Tensor]:
    module._cores = cores
    with ThreadPoolExecutor(cores) as threads:
        module._backward_in_parts(batch, threads)
    return {name: weight.grad.clone() for name, weight in module.model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("cores", [1, 2, 3, 8])
def test_gradients_are_the_mean_of_the_parts(
    cores: int, tiny_forensic: dict[str, Any], batch: dict[str, torch.Tensor]
) -> None:
    module = make_module(tiny_forensic)
    got = gradients(module, batch, cores)
    count = min(cores, 6)
    module.zero_grad()
    for part in range(count):  # slowly, one after the other
        draws = torch.Generator().manual_seed((3 << 32) + count * 5 + part)  # seed, step and part
        losses = module._losses({name: value[part::count] for name, value in batch.items()}, draws)
        (losses.total / count).backward()
    for name, weight in module.model.named_parameters():
        if weight.requires_grad:
            expected = torch.zeros_like(weight) if weight.grad is None else weight.grad
            torch.testing.assert_close(got[name], expected, atol=1e-6, rtol=1e-4)
    assert any(value.abs().max() > 0 for value in got.values())


def test_threads_draw_the_same_patches_every_time(
    tiny_forensic: dict[str, Any], batch: dict[str, torch.Tensor]
) -> None:
    few = {"cpc": {"max_patches": 5}, "consistency": 1.0}  # so that patches are drawn
    first = gradients(make_module(tiny_forensic, **few), batch, 3)
    for _ in range(4):
        again = gradients(make_module(tiny_forensic, **few), batch, 3)
        assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_network_with_dropout_goes_whole_and_threads_end(tiny_forensic: dict[str, Any]) -> None:
    module, before = make_module(tiny_forensic), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with module.on_all_cores():
            assert module._threads is not None
            assert torch.get_num_threads() == 1
        assert module._threads is None
        assert torch.get_num_threads() == 2
        module.model.adapter.register_module("more", torch.nn.Dropout(0.1))  # type: ignore[union-attr]
        with module.on_all_cores():
            assert module._threads is None
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_frozen_parts_get_no_gradient_and_unknown_ones_are_refused(
    tiny_forensic: dict[str, Any], batch: dict[str, torch.Tensor]
) -> None:
    model = make_module(tiny_forensic).model
    frozen = StageConfig(steps=10, warmup_steps=1, frozen=("prompt", "residuals.front_end.learned.high_pass"))
    module = SelfForgedModule(model, frozen, SelfForgedObjectiveConfig(), seed=0)
    module._trainer = make_module(tiny_forensic)._trainer
    got = gradients(module, batch, 2)
    assert not [name for name in got if name.startswith(("prompt", "residuals.front_end.learned.high_pass"))]
    assert "residuals.front_end.learned.to_half.weight" in got
    features = model.prompt.text_features(model.encoder)
    assert features is model.prompt.text_features(model.encoder)  # computed once
    with pytest.raises(ConfigError, match="the network has no elsewhere"):
        SelfForgedModule(model, StageConfig(steps=1, frozen=("elsewhere",)), SelfForgedObjectiveConfig(), seed=0)
