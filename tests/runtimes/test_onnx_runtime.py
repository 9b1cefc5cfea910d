"""Exported models as ONNX Runtime runs them, and what is said of files that are none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pictures import make_photo
from vilaco.errors import ConfigError, ModelError
from vilaco.images import resize_pixels
from vilaco.localizer import Localizer
from vilaco.runtimes import load_runtime
from vilaco.runtimes import onnx as onnx_runtime
from vilaco.runtimes.onnx import OnnxRuntime, thread_count
from vilaco.runtimes.torch import TorchRuntime


def test_no_seam_shows(exported_pixel_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = OnnxRuntime.load(exported_pixel_model, threads=2)
    pixels = make_photo(np.random.default_rng(0), 253, 381)
    view = resize_pixels(pixels, (64, 64))[None]
    maps, scores = [], []
    for tile in (4096, 256, 104, 64, 8):  # one tile, and borders at ever other places
        monkeypatch.setattr(onnx_runtime, "TILE", tile)
        output = runtime(view, [pixels])
        maps.append(1 / (1 + np.exp(-output.localization_logits[0])))
        scores.append(output.detection_scores[0])
    for map_, score in zip(maps[1:], scores[1:], strict=True):
        assert np.abs(map_ - maps[0]).max() < 1e-4
        assert abs(score - scores[0]) < 1e-5


def test_the_runtime_is_chosen_by_what_the_folder_holds(
    pixel_model: Path, exported_pixel_model: Path, tmp_path: Path
) -> None:
    assert isinstance(load_runtime(exported_pixel_model), OnnxRuntime)
    assert isinstance(load_runtime(exported_pixel_model, device="cpu"), OnnxRuntime)
    assert isinstance(load_runtime(pixel_model), TorchRuntime)
    with pytest.raises(ModelError, match="runs on the CPU"):
        load_runtime(exported_pixel_model, device="cuda")
    both = shutil.copytree(exported_pixel_model, tmp_path / "both")
    shutil.copy(pixel_model / "model.safetensors", both)
    assert isinstance(load_runtime(both), OnnxRuntime)
    assert isinstance(load_runtime(both, device="cpu"), TorchRuntime)


@pytest.mark.parametrize("device", ["nonsense", "cuda:99", "meta", "cpu:x"])
def test_a_device_that_is_not_there_gets_one_clear_line(pixel_model: Path, device: str) -> None:
    with pytest.raises(ModelError, match=f"PyTorch cannot use the device '{device}'") as error:
        load_runtime(pixel_model, device=device)
    assert "\n" not in str(error.value)


def foreign_model() -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "minus", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def with_metadata(file: Path, text: str) -> bytes:
    model = onnx.load(file)
    model.metadata_props[0].value = text
    return model.SerializeToString()


def test_files_that_are_no_models_get_one_clear_line(
    exported_pixel_model: Path, exported_tiny_model: Path, tmp_path: Path
) -> None:
    def refused(name: str, data: bytes | None) -> str:
        folder = shutil.copytree(exported_pixel_model, tmp_path / "copy", dirs_exist_ok=True)
        if data is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(data)
        with pytest.raises(ModelError) as error:
            Localizer.load(folder)
        message = str(error.value)
        assert "\n" not in message
        assert str(folder / name) in message or str(folder / "model.onnx") in message
        return message

    whole = (exported_pixel_model / "model.onnx").read_bytes()
    for broken in (b"", b"no model", whole[: len(whole) // 2]):
        assert "ONNX Runtime cannot load it" in refused("model.onnx", broken)
        for beside in ("encoder.onnx", "front_end.onnx"):
            assert "ONNX Runtime cannot load it" in refused(beside, broken)
    assert "was not written by vilaco export" in refused("model.onnx", foreign_model())
    graph = exported_pixel_model / "model.onnx"
    assert "its metadata does not fit, vilaco_version" in refused("model.onnx", with_metadata(graph, "{}"))
    assert "its metadata does not fit" in refused("model.onnx", with_metadata(graph, "no JSON"))
    other = (exported_tiny_model / "model.onnx").read_bytes()
    for beside in ("encoder.onnx", "front_end.onnx"):
        assert "was not written by vilaco export" in refused(beside, foreign_model())
        assert f"needs {beside} beside it" in refused(beside, None)
        assert "belongs to another model.onnx" in refused(beside, other)


def test_threads_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VILACO_THREADS", raising=False)
    assert thread_count() == os.cpu_count()
    monkeypatch.setenv("VILACO_THREADS", "3")
    assert thread_count() == 3
    for wrong in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("VILACO_THREADS", wrong)
        with pytest.raises(ConfigError, match="whole number above 0"):
            thread_count()


WITHOUT_TORCH = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "onnx", "onnxscript", "lightning", "safetensors"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from vilaco.cli.main import main
main()
"""


def detect_without_torch(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", WITHOUT_TORCH, "detect", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_detect_needs_no_torch(pixel_model: Path, exported_pixel_model: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), make_photo(np.random.default_rng(0), 100, 150))
    run = detect_without_torch(photo, "--model", exported_pixel_model, "--out", tmp_path / "out")
    assert run.returncode == 0, run.stderr
    assert "photo.png" in run.stdout
    assert cv2.imread(str(tmp_path / "out/photo.mask.png"), cv2.IMREAD_UNCHANGED).shape == (100, 150)
    refused = detect_without_torch(photo, "--model", pixel_model)
    assert refused.returncode == 2
    assert refused.stderr.strip().splitlines()[-1].endswith("it needs torch; run: pip install 'vilaco[train]'")
    assert "Traceback" not in refused.stderr
