"""A file can run no code: nothing in the package loads pickles, and files that hold one are refused."""

import ast
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from scan_runs import run_cli
from vilaco.data.loading import AugmentationConfig, WeakImages, WeakRecord
from vilaco.encoders import EncoderConfig, load_encoder
from vilaco.errors import ImageError, VilacoError
from vilaco.evaluation.saved import read_prediction
from vilaco.localizer import Localizer
from vilaco.training.callbacks import AtomicCheckpointIO
from vilaco.training.feature_cache import CachedFeatures

ROOT = Path(__file__).parents[1] / "src/vilaco"
PICKLERS = {"_pickle", "cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
NEVER = {"pandas.read_pickle", "torch.hub.load", "torch.jit.load", "yaml.full_load", "yaml.load", "yaml.unsafe_load"}
SAFE = {"torch.load": ("weights_only", True), "numpy.load": ("allow_pickle", False)}
"""What unpickles unless it is told not to (NumPy's default has changed once), and how it is told."""


def imported(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Line, name in the module, and full name of each import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                yield node.lineno, *((each.asname, each.name) if each.asname else [each.name.split(".")[0]] * 2)
        elif isinstance(node, ast.ImportFrom):
            for each in node.names:
                yield node.lineno, each.asname or each.name, f"{node.module}.{each.name}"


def unsafe_lines(source: str) -> list[tuple[int, str]]:
    """Line and full name of whatever in a module could load a pickle."""
    tree = ast.parse(source)
    names = {name: full for _, name, full in imported(tree)}
    found = [(line, full) for line, _, full in imported(tree) if full.split(".")[0] in PICKLERS]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        first, *rest = ast.unparse(node.func).split(".")
        called = ".".join([names.get(first, first), *rest])
        options = {each.arg: ast.unparse(each.value) for each in node.keywords}
        must_say = SAFE.get(called)
        if (
            called in NEVER
            or (must_say and options.get(must_say[0]) != str(must_say[1]))
            or options.get("allow_pickle", "False") != "False"
        ):
            found.append((node.lineno, called))
    return found


@pytest.mark.parametrize("file", sorted(ROOT.rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_no_module_can_load_a_pickle(file: Path) -> None:
    assert unsafe_lines(file.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import pickle as json",
        "def f():\n    import shelve",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "import torch\ntorch.load(path, weights_only=wanted)",
        "from torch import load as read\nread(path, mmap=True)",
        "import torch.jit\ntorch.jit.load(path)",
        "import numpy as np\nnp.load(path)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import numpy as np\nnp.lib.format.read_array(file, allow_pickle=True)",
        "import yaml\nyaml.load(text, Loader)",
    ],
)
def test_the_check_finds(source: str) -> None:
    assert len(unsafe_lines(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load(path, weights_only=True)",
        "import numpy as np\nnp.load(path, allow_pickle=False)",
        "import json\njson.load(file)",
        "from safetensors.torch import load\nload(data)",
    ],
)
def test_the_check_lets_pass(source: str) -> None:
    assert unsafe_lines(source) == []


class Payload:
    """What makes a folder where it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.proof),)


@pytest.fixture
def proof(tmp_path: Path) -> Iterator[Path]:
    """A folder that no payload makes."""
    yield tmp_path / "the payload ran"
    assert not (tmp_path / "the payload ran").exists()


def torch_file(path: Path, proof: Path) -> None:
    torch.save({"state_dict": Payload(proof)}, path)


def pickle_file(path: Path, proof: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(proof)))


def numpy_file(path: Path, proof: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([Payload(proof)], object), allow_pickle=True)


KINDS = pytest.mark.parametrize("write", [torch_file, pickle_file, numpy_file])


@pytest.mark.parametrize(
    ("write", "load"),
    [
        (torch_file, partial(torch.load, weights_only=False)),
        (pickle_file, lambda path: pickle.loads(path.read_bytes())),
        (numpy_file, partial(np.load, allow_pickle=True)),
    ],
)
def test_the_payload_runs_where_it_is_let(
    write: Callable[[Path, Path], None], load: Callable[[Path], object], tmp_path: Path
) -> None:
    write(tmp_path / "file", tmp_path / "ran")
    load(tmp_path / "file")
    assert (tmp_path / "ran").exists()


@KINDS
@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "front_end.onnx"])
def test_a_model(
    write: Callable[[Path, Path], None],
    name: str,
    pixel_model: Path,
    exported_pixel_model: Path,
    proof: Path,
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(exported_pixel_model if name.endswith("onnx") else pixel_model, tmp_path / "model")
    write(folder / name, proof)
    with pytest.raises(VilacoError, match=name):
        Localizer.load(folder)


@KINDS
def test_a_file_as_model_on_the_command_line(write: Callable[[Path, Path], None], proof: Path, tmp_path: Path) -> None:
    write(tmp_path / "model.pt", proof)
    (tmp_path / "photo.jpg").write_bytes(b"not looked at before the model")
    run = run_cli("detect", tmp_path / "photo.jpg", "--model", tmp_path / "model.pt")
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert run.stderr.startswith("error: ")
    assert "model.pt" in run.stderr


@KINDS
@pytest.mark.parametrize("name", ["map.npy", "map.npz", "map.png"])
def test_a_saved_map(write: Callable[[Path, Path], None], name: str, proof: Path, tmp_path: Path) -> None:
    write(tmp_path / name, proof)
    with pytest.raises(ImageError, match=name):
        read_prediction(tmp_path / name)


def test_a_saved_map_inside_an_npz(proof: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "map.npz", map=np.array([Payload(proof)], object), allow_pickle=True)
    with pytest.raises(ImageError, match=r"map\.npz"):
        read_prediction(tmp_path / "map.npz")


@KINDS
def test_a_checkpoint_to_resume_from(write: Callable[[Path, Path], None], proof: Path, tmp_path: Path) -> None:
    write(tmp_path / "last.ckpt", proof)
    with pytest.raises(VilacoError, match=r"last\.ckpt: not a checkpoint of tensors and plain values"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "last.ckpt")


@KINDS
def test_a_cached_feature(write: Callable[[Path, Path], None], tiny_clip: Path, proof: Path, tmp_path: Path) -> None:
    images = WeakImages(
        [WeakRecord(tmp_path / "photo.jpg", 0, "ab" * 32)], size=64, config=AugmentationConfig(), seed=0
    )
    encoder = load_encoder(EncoderConfig(family="clip", checkpoint=str(tiny_clip)))
    cached = CachedFeatures(images, encoder, tmp_path)
    file = cached.file(0, 0)
    file.parent.mkdir(parents=True)
    write(file, proof)
    with pytest.raises(VilacoError, match=f"{file.name}: damaged features"):
        cached[0, 0]
