import json
import shutil
from pathlib import Path
from typing import get_args

import pytest
import torch
from pydantic import TypeAdapter
from torch.testing import assert_close

from vilaco.errors import ModelError
from vilaco.method.checkpoint import load_checkpoint, save_checkpoint
from vilaco.method.describe import describe_model
from vilaco.method.methods import METHODS, MethodConfig, build_network, build_objective
from vilaco.method.network import Losses, PatchNetwork
from vilaco.method.objective import ObjectiveConfig

TINY = {
    "vilaco": {"adapter": {"num_heads": 4}, "text_attention": {"num_heads": 4}, "prompt": {"context_length": 4}},
    "vadclip": {"adapter": {"num_heads": 4}, "prompt": {"context_length": 4}},
}


def tiny_network(method: str, checkpoint: Path, **settings: object) -> PatchNetwork:
    model = {
        "method": method,
        "encoder": {"family": "clip", "checkpoint": str(checkpoint)},
        "image_size": 64,
        **TINY.get(method, {"head": {"channels": 16}}),
        **settings,
    }
    torch.manual_seed(0)
    return build_network(TypeAdapter(MethodConfig).validate_python(model))


SETTINGS = [(method, {}) for method in METHODS] + [
    ("mil_fcn", {"pooling": "smooth"}),
    ("vadclip", {"read_from": "align"}),
]


def test_every_configuration_has_its_method() -> None:
    configs = get_args(get_args(MethodConfig)[0])
    assert [config.model_fields["method"].default for config in configs] == list(METHODS)


@pytest.mark.parametrize(("method", "settings"), SETTINGS)
def test_outputs_have_the_contracts_shapes_and_do_not_depend_on_the_batch(
    tiny_clip: Path, method: str, settings: dict
) -> None:
    network = tiny_network(method, tiny_clip, **settings).eval()
    pixels = torch.rand(3, 3, 64, 48)  # not square
    with torch.no_grad():
        together, alone = network(pixels), network(pixels[1:2])
    assert together.localization_logits.shape == (3, 64, 48)
    assert together.localization_logits.isfinite().all()
    assert together.detection_scores.shape == (3,)
    assert ((together.detection_scores >= 0) & (together.detection_scores <= 1)).all()
    assert_close(together.localization_logits[1:2], alone.localization_logits, rtol=1e-4, atol=1e-4)
    assert_close(together.detection_scores[1:2], alone.detection_scores)


@pytest.mark.parametrize(("method", "settings"), SETTINGS[1:])  # ViLaCo is overfitted in tests/training
def test_every_trainable_weight_learns_and_nothing_else(tiny_clip: Path, method: str, settings: dict) -> None:
    network = tiny_network(method, tiny_clip, **settings)
    losses_of = build_objective(network.config, ObjectiveConfig())
    trainable = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    assert {name for name, _ in network.named_parameters()} - set(trainable) == {
        name for name, _ in network.named_parameters() if name.startswith("encoder.")
    }
    labels = torch.tensor([0, 1] * 4)
    features = network.encoder.encode_patches(torch.rand(8, 3, 64, 64))
    features[1::2, 20:24] += 2 * features.std()  # something to find in the tampered ones
    optimiser = torch.optim.AdamW(trainable.values(), lr=5e-3)
    touched: set[str] = set()
    totals = []
    for _ in range(12):
        output = network.forward_patches(features, (64, 64))
        losses = losses_of(output, labels, epoch=9, num_epochs=10)
        optimiser.zero_grad()
        losses.total.backward()
        touched |= {name for name, weight in trainable.items() if weight.grad is not None and weight.grad.any()}
        optimiser.step()
        totals.append(losses.total.item())
    assert touched == set(trainable)
    assert totals[-1] < totals[0]


@pytest.mark.parametrize("method", METHODS)
def test_a_model_folder_loads_alone(tiny_clip: Path, tmp_path: Path, method: str) -> None:
    network = tiny_network(method, tiny_clip).eval()
    save_checkpoint(network, tmp_path)
    loaded, _ = load_checkpoint(tmp_path)
    assert loaded.config == network.config
    pixels = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert_close(loaded(pixels).localization_logits, network(pixels).localization_logits)


def test_a_model_folder_written_before_there_were_methods_is_vilacos(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "old")
    config = json.loads((folder / "config.json").read_text())
    assert config["model"].pop("method") == "vilaco"
    (folder / "config.json").write_text(json.dumps(config))
    assert load_checkpoint(folder)[0].config == load_checkpoint(tiny_model)[0].config
    (folder / "config.json").write_text(json.dumps({**config, "model": {"method": "mil_fcn", "window": 3}}))
    with pytest.raises(ModelError, match=r"config\.json: model\.window: Extra inputs"):
        load_checkpoint(folder)


@pytest.mark.parametrize("method", METHODS)
def test_the_boxes_of_every_method_add_up(tiny_clip: Path, method: str) -> None:
    network = tiny_network(method, tiny_clip)
    encoder, *boxes, total = describe_model(network)
    assert total.trainable == sum(box.trainable for box in boxes) > 0
    assert all(box.multiply_adds > 0 for box in boxes if box.box != "prompt")
    same = describe_model(tiny_network("vilaco" if method in TINY else "cam", tiny_clip))[0]
    assert encoder == same  # none of the method's own work is counted as the encoder's


def test_losses_are_summed_by_weight() -> None:
    losses = Losses({"a": torch.tensor(2.0), "b": torch.tensor(3.0)}, {"b": 0.5})
    assert losses.total.item() == 3.5
