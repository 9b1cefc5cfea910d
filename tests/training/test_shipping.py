"""A shipped model holds each weight once, says the very same, and refuses files that are not its own."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from pictures import make_photo
from vilaco import weights
from vilaco.errors import ModelError
from vilaco.images import resize_pixels
from vilaco.runtimes import ENCODER, GRAPH, WEIGHTS
from vilaco.runtimes.onnx import OnnxRuntime
from vilaco.runtimes.torch import TorchRuntime
from vilaco.training.export import export_model
from vilaco.training.shipping import share_weights, ship_model

SHIPPED = Path(weights.__file__).parent


@pytest.fixture(scope="module")
def made(pixel_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a model as the package ships it, and of the encoder that it shares."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vilaco.training.shipping.shared_encoder", lambda _: folder / "shared.onnx")
        ship_model(pixel_model, folder / "model")
    return folder


@pytest.fixture
def shipped(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that model; the encoder lies beside."""
    monkeypatch.setattr("vilaco.training.shipping.shared_encoder", lambda _: tmp_path / "shared.onnx")
    monkeypatch.setattr("vilaco.runtimes.onnx.shared_encoder", lambda _: tmp_path / "shared.onnx")
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "model"


def test_every_weight_is_there_once_and_says_the_very_same(shipped: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in shipped.iterdir())
    assert names == ["README.md", "config.json", "front_end.onnx", "model.onnx", "model.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "shared.onnx"]  # nothing half done is left
    graph = onnx.load(shipped / GRAPH, load_external_data=False).graph
    outside = [weight for weight in graph.initializer if weight.data_location == TensorProto.EXTERNAL]
    held = [weight for weight in graph.initializer if weight.data_type == TensorProto.FLOAT16 and weight.raw_data]
    assert outside
    assert not held
    assert {entry.value for weight in outside for entry in weight.external_data if entry.key == "location"} == {WEIGHTS}
    export_model(shipped, tmp_path / "complete")
    assert (tmp_path / "complete" / ENCODER).is_file()
    assert not (tmp_path / "complete" / WEIGHTS).exists()
    complete, runtime = OnnxRuntime.load(tmp_path / "complete"), OnnxRuntime.load(shipped)
    trained = TorchRuntime.load(shipped, device="cpu")
    assert runtime.fingerprint == complete.fingerprint == trained.fingerprint
    for size in ((64, 64), (133, 211)):
        pixels = make_photo(np.random.default_rng(0), *size)
        view = resize_pixels(pixels, (64, 64))[None]
        ours, theirs = runtime(view, [pixels]), complete(view, [pixels])
        np.testing.assert_array_equal(ours.detection_scores, theirs.detection_scores)
        np.testing.assert_array_equal(ours.localization_logits[0], theirs.localization_logits[0])


@pytest.mark.parametrize("file", [WEIGHTS, ENCODER])
@pytest.mark.parametrize("fault", ["missing", "damaged", "swapped", "cut"])
def test_a_file_that_is_not_its_own_gets_one_clear_line(file: str, fault: str, shipped: Path, tmp_path: Path) -> None:
    path = shipped / WEIGHTS if file == WEIGHTS else tmp_path / "shared.onnx"
    data = bytearray(path.read_bytes())
    if fault == "missing":
        path.unlink()
    else:
        place = len(data) - 200  # among the weights
        data[place] ^= 64
        whole = {
            "damaged": bytes(data),
            "swapped": (shipped / "front_end.onnx").read_bytes(),
            "cut": bytes(data[:-300]),
        }
        path.write_bytes(whole[fault])
    with pytest.raises(ModelError) as raised:
        OnnxRuntime.load(shipped)
    message = str(raised.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    assert str(shipped / GRAPH) in message


def test_a_shared_encoder_stays_as_other_models_know_it(
    shipped: Path, exported_pixel_model: Path, tmp_path: Path
) -> None:
    shared = tmp_path / "shared.onnx"
    encoder = onnx.load(shared)
    encoder.producer_version = "as another exporter would have written it"
    shared.write_bytes(encoder.SerializeToString())
    before = shared.read_bytes()
    weights_file = (shipped / WEIGHTS).read_bytes()
    share_weights(exported_pixel_model, weights_file, tmp_path / "second")
    assert shared.read_bytes() == before
    assert OnnxRuntime.load(tmp_path / "second").reads_pixels
    encoder.metadata_props[0].value = encoder.metadata_props[0].value.replace('"image_size":64', '"image_size":96')
    shared.write_bytes(encoder.SerializeToString())
    with pytest.raises(ModelError, match="is not for this one's views"):
        share_weights(exported_pixel_model, weights_file, tmp_path / "third")


def test_a_graph_that_refers_to_nothing_takes_no_shared_encoder(exported_pixel_model: Path, tmp_path: Path) -> None:
    for name in (GRAPH, "front_end.onnx"):
        (tmp_path / name).write_bytes((exported_pixel_model / name).read_bytes())
    with pytest.raises(ModelError, match=r"needs encoder\.onnx beside it"):
        OnnxRuntime.load(tmp_path)


def test_the_package_holds_every_weight_once() -> None:
    folders = [path.parent for path in SHIPPED.glob("*/config.json")]
    assert {folder.name for folder in folders} == {"free", "research"}
    assert len(list(SHIPPED.rglob("*.onnx"))) == 2 * len(folders) + 1  # the encoder's graph is theirs together
    for folder in folders:
        graph = onnx.load(folder / GRAPH, load_external_data=False).graph
        assert not [
            weight for weight in graph.initializer if weight.data_type == TensorProto.FLOAT16 and weight.raw_data
        ]
        assert (folder / GRAPH).stat().st_size < 400_000
