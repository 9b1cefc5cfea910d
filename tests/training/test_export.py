"""An exported model says what PyTorch says, and holds all that is needed."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pictures import make_photo
from vilaco.errors import ConfigError, DataError, ModelError
from vilaco.images import resize_pixels
from vilaco.localizer import Localizer
from vilaco.runtimes import RuntimeOutput
from vilaco.runtimes.onnx import OnnxRuntime
from vilaco.runtimes.torch import TorchRuntime
from vilaco.training import export
from vilaco.training.compress import store_as_float16
from vilaco.training.export import Differences, differences, export_model, parity_pictures


@pytest.fixture(scope="module")
def torch_runtime(pixel_model: Path) -> TorchRuntime:
    return TorchRuntime.load(pixel_model, device="cpu")


@pytest.fixture(scope="module")
def onnx_runtime(exported_pixel_model: Path) -> OnnxRuntime:
    return OnnxRuntime.load(exported_pixel_model)


def grey(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[..., :1], 3, axis=2)


@pytest.mark.parametrize("size", [(64, 64), (253, 381), (400, 300), (9, 9), (1, 50), (50, 1), (8, 8), (1, 1)])
@pytest.mark.parametrize("colour", [np.asarray, grey])
def test_pytorch_and_onnx_agree(
    torch_runtime: TorchRuntime, onnx_runtime: OnnxRuntime, size: tuple[int, int], colour: type
) -> None:
    pixels = colour(make_photo(np.random.default_rng(0), *size))
    view = resize_pixels(pixels, (64, 64))[None]
    expected, got = torch_runtime(view, [pixels]), onnx_runtime(view, [pixels])
    assert got.detection_scores.shape == (1,)
    np.testing.assert_allclose(got.detection_scores, expected.detection_scores, atol=1e-3)
    [logits], [onnx_logits] = expected.localization_logits, got.localization_logits
    assert onnx_logits.shape == logits.shape == size
    np.testing.assert_allclose(onnx_logits, logits, atol=0.02)  # the logits spread over several units
    assert np.mean((onnx_logits > 0) != (logits > 0)) <= 0.001


def test_the_maps_compared_are_not_flat(onnx_runtime: OnnxRuntime) -> None:
    pixels = make_photo(np.random.default_rng(0), 253, 381)
    [logits] = onnx_runtime(resize_pixels(pixels, (64, 64))[None], [pixels]).localization_logits
    assert logits.std() > 0.5
    assert 0.02 < (logits > 0).mean() < 0.98


def test_a_model_of_views_takes_batches(tiny_model: Path, exported_tiny_model: Path) -> None:
    views = np.stack([make_photo(np.random.default_rng(seed), 64, 64) for seed in range(3)])
    expected = TorchRuntime.load(tiny_model, device="cpu")(views, [])
    runtime = OnnxRuntime.load(exported_tiny_model)
    got = runtime(views, [])
    np.testing.assert_allclose(got.detection_scores, expected.detection_scores, atol=1e-3)
    np.testing.assert_allclose(got.localization_logits, expected.localization_logits, atol=1e-3)
    alone = runtime(views[1:2], [])
    np.testing.assert_allclose(alone.localization_logits[0], got.localization_logits[1], atol=1e-4)
    assert sorted(path.name for path in exported_tiny_model.iterdir()) == ["config.json", "model.onnx"]


def test_the_folder_is_whole_and_says_where_it_comes_from(pixel_model: Path, exported_pixel_model: Path) -> None:
    names = sorted(path.name for path in exported_pixel_model.iterdir())
    assert names == ["README.md", "config.json", "encoder.onnx", "front_end.onnx", "model.onnx"]
    trained, exported = (Localizer.load(folder) for folder in (pixel_model, exported_pixel_model))
    assert isinstance(exported.runtime, OnnxRuntime)
    assert (exported.fingerprint, exported.encoder_name) == (trained.fingerprint, trained.encoder_name)
    assert exported.runtime.image_size == 64
    for name in ("encoder.onnx", "front_end.onnx", "model.onnx"):
        data = (exported_pixel_model / name).read_bytes()
        assert b"site-packages" not in data  # the exporter's notes name source files
        assert str(pixel_model).encode() not in data
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model)
        assert all(weight.data_location == TensorProto.DEFAULT for weight in model.graph.initializer)
    assert (exported_pixel_model / "model.onnx").stat().st_size < (pixel_model / "model.safetensors").stat().st_size


def test_a_calibration_goes_with_the_model(exported_tiny_model: Path, exported_pixel_model: Path) -> None:
    calibration = Localizer.load(exported_tiny_model).calibration
    assert calibration is not None
    assert (calibration.slope, calibration.offset, calibration.map_shift) == (2, 1, 1.5)
    assert calibration.authentic_scores == tuple(i / 20 for i in range(20))
    often = Localizer.load(exported_tiny_model, max_false_alarms=0.5)
    assert often.thresholds == calibration.thresholds(0.5)
    assert Localizer.load(exported_pixel_model).calibration is None


def test_what_does_not_agree_is_not_written(
    tiny_model: Path, exported_tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = onnx.load(exported_tiny_model / "model.onnx")
    monkeypatch.setattr(export, "_trace", lambda network: {"model.onnx": graph})
    export_model(tiny_model, tmp_path / "as it is")
    [out] = [weight for weight in graph.graph.initializer if weight.name.endswith("decoder.out.weight")]
    out.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(out), out.name))
    with pytest.raises(ModelError, match="differs from PyTorch's, score by up to"):
        export_model(tiny_model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(4):
        cv2.imwrite(str(folder / f"{seed}.png"), make_photo(np.random.default_rng(seed), 200, 150 + seed))
    return sorted(folder.iterdir())


def test_int8_says_nearly_the_same(
    pixel_model: Path,
    torch_runtime: TorchRuntime,
    photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most = {"score": 0.02, "map_mean": 0.02, "map_max": 0.5}  # random weights make the most of a difference
    monkeypatch.setitem(export.MAX_DIFFERENCES, "int8", most)
    report = export_model(pixel_model, tmp_path / "out", int8_photos=photos)
    assert 0 < report.differences.map_mean < 0.02
    runtime = OnnxRuntime.load(tmp_path / "out")
    assert runtime.exported.precision == "int8"
    graph = onnx.load(tmp_path / "out/model.onnx").graph
    in_int8 = [
        weight.name for weight in graph.initializer if len(weight.dims) == 4 and weight.data_type == TensorProto.INT8
    ]
    assert len(in_int8) == 2 * 3 + 1 + 2 * 4 + 2 + 1  # shallow, down, deep, the decoder's block, refine
    seen = [make_photo(np.random.default_rng(9), 133, 211)]  # a photo whose ranges were not looked at
    assert differences(torch_runtime, runtime, seen).map_mean < 0.02


def test_int8_is_refused_where_it_helps_nothing(tiny_model: Path, photos: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="makes no faster"):
        export_model(tiny_model, tmp_path / "out", int8_photos=photos)


def test_a_filled_folder_and_no_model_are_refused(tiny_model: Path, exported_tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not an empty folder"):
        export_model(tiny_model, exported_tiny_model)
    with pytest.raises(ModelError, match=r"model\.safetensors is missing"):
        export_model(exported_tiny_model, tmp_path / "out")


def test_large_weights_are_stored_as_half_and_computed_as_before() -> None:
    rng = np.random.default_rng(0)
    large, small = (rng.standard_normal(shape).astype(np.float32) for shape in ((200, 100), (100, 3)))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 200])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    nodes = [helper.make_node("MatMul", ["x", "large"], ["h"]), helper.make_node("MatMul", ["h", "small"], ["y"])]
    weights = [numpy_helper.from_array(large, "large"), numpy_helper.from_array(small, "small")]
    graph = helper.make_graph(nodes, "two products", [x], [y], weights)
    model = store_as_float16(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]))
    onnx.checker.check_model(model)
    types = {weight.name: weight.data_type for weight in model.graph.initializer}
    assert types == {"large.float16": TensorProto.FLOAT16, "small": TensorProto.FLOAT}
    [got] = onnx.reference.ReferenceEvaluator(model).run(None, {"x": np.eye(1, 200, 7, dtype=np.float32)})
    np.testing.assert_allclose(got[0], large[7].astype(np.float16).astype(np.float32) @ small, rtol=1e-5)


class Says:
    """A runtime that always says the same."""

    image_size, reads_pixels, fingerprint, encoder_name, calibration = 2, False, "", "none", None

    def __init__(self, score: float, logits: Sequence[Sequence[float]]) -> None:
        self.output = RuntimeOutput(np.array([score]), [np.array(logits)])

    def __call__(self, views: np.ndarray, pixels: Sequence[np.ndarray]) -> RuntimeOutput:
        return self.output


def test_differences_by_hand() -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    found = differences(Says(0.25, [[0, 0]]), Says(0.5, [[0, 1000]]), [picture, picture])
    assert found == Differences(score=0.25, map_mean=0.25, map_max=0.5)
    assert np.isnan(differences(Says(0.25, [[0, 0]]), Says(0.5, [[0, np.nan]]), [picture]).map_max)


def test_the_pictures_compared_are_always_the_same_and_one_is_grey() -> None:
    pictures = parity_pictures()
    assert any(side % 8 for picture in pictures for side in picture.shape[:2])
    assert (pictures[-1] == pictures[-1][..., :1]).all()
    for one, other in zip(pictures, parity_pictures(), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.std() > 10
