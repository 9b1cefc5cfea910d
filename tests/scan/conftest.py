"""Collections that tests make for themselves."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pictures import make_photo
from vilaco.images import encode_jpeg

_DEADLY = '''
import os, signal, time
from fsspec.implementations.local import LocalFileSystem


class DeadlyFileSystem(LocalFileSystem):
    """Local files, some of which do what no file should."""

    protocol = "deadly"

    def _open(self, path, mode="rb", **options):
        name = os.path.basename(path)
        if name.startswith("segfault"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if name.startswith("oom"):
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("hang"):
            time.sleep(3600)
        return super()._open(path, mode=mode, **options)
'''


@pytest.fixture(scope="session")
def deadly(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder for PYTHONPATH with an fsspec file system ``deadly://``, installed as packages install theirs."""
    folder = tmp_path_factory.mktemp("deadly")
    (folder / "deadly.py").write_text(_DEADLY)
    info = folder / "deadly-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fsspec.specs]\ndeadly = deadly:DeadlyFileSystem\n")
    return str(folder)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, int], Path]:
    """Fills a folder with so many small photos, each another."""

    def fill(folder: Path, count: int) -> Path:
        rng = np.random.default_rng(0)
        (folder / "deep").mkdir(parents=True)
        for index in range(count):
            name = f"{'deep/' if index % 3 == 0 else ''}{index:04d}.jpg"
            (folder / name).write_bytes(encode_jpeg(make_photo(rng, 48, 64), 90))
        return folder

    return fill
