"""What the docs say must be so: guides run from top to bottom, and every command of every page is one that exists.

A fenced block of a guide is run as it stands, unless the line above it says ``*Needs: ... .*``, which is what it takes
to run it, or names in bold the file that it is. Commands of all blocks are parsed by the command line itself, without
running them.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer

from vilaco.cli.main import app
from vilaco.images import encode_jpeg, encode_png, load_photo
from vilaco.training.recipe import load_recipe, recipe_names

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
GUIDES = [page for page in PAGES if page.parent.name == "guides"]
SHELL = ("sh", "bash")
_BLOCK = re.compile(
    r"^(?:\*Needs: ([^\n]+)\.\*\n|\*\*`([^`\n]+)`\*\*\n)?```(\w*)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE
)
_COMMAND = re.compile(r"^(?:\w+=.+ |srun .+ )?vilaco (.*)")


@dataclass(frozen=True)
class Block:
    """A fenced block; ``needs`` and ``file`` are empty where nothing is said above it."""

    needs: str
    file: str
    language: str
    text: str
    page: Path

    @property
    def runs(self) -> bool:
        return self.page in GUIDES and not self.needs and not self.file and self.language in ("python", *SHELL)

    def commands(self) -> Iterator[list[str]]:
        """Words of its ``vilaco`` commands, without the first."""
        if self.language in ("", *SHELL):
            for line in self.text.replace("\\\n", " ").splitlines():
                if found := _COMMAND.match(line):
                    yield shlex.split(found[1], comments=True)


def blocks_of(page: Path) -> list[Block]:
    return [Block(*parts, page) for parts in _BLOCK.findall(page.read_text())]


def parse(words: list[str], *, check_recipe: bool) -> None:
    """Let the command line take a command apart, and its recipe with all settings, without running it."""
    command = typer.main.get_command(app)
    context = command.make_context("vilaco", [], resilient_parsing=True)
    while hasattr(command, "resolve_command"):
        first = words[0]
        name, command, words = command.resolve_command(context, words)
        assert command is not None, f"there is no command {first}"
        if hasattr(command, "resolve_command"):
            context = command.make_context(name, [], parent=context, resilient_parsing=True)
    with command.make_context(name, list(words), parent=context) as parsed:
        given = parsed.params
    if check_recipe and given.get("recipe") in recipe_names():
        load_recipe(given["recipe"], overrides=given["settings"], without=given["without"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_is_one_that_exists(page: Path) -> None:
    for block in blocks_of(page):
        for words in block.commands():
            try:
                parse(words, check_recipe=not block.runs)  # one that runs may need what the guide installs
            except Exception as error:
                pytest.fail(f"vilaco {shlex.join(words)}: {error}")


@pytest.mark.parametrize("wrong", ["detect --repport x.html", "train p --set model.nothing=1 -r paper", "data chek p"])
def test_a_command_that_does_not_exist_is_found(wrong: str) -> None:
    with pytest.raises(Exception, match=r"repport|nothing|chek"):
        parse(shlex.split(wrong), check_recipe=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text()
    for page in PAGES:
        if page.parent != ROOT and page.name not in ("README.md", "index.md"):
            assert f"({page.relative_to(ROOT / 'docs').as_posix()})" in index, page


def test_hours_and_memory_are_those_measured() -> None:
    page = (ROOT / "docs/guides/reproduce.md").read_text()
    measured = json.loads((ROOT / "benchmarks/results/paper_step.json").read_text())
    loop, cached = measured["rows"]["encoder in the loop"], measured["rows"]["from the cache"]
    for text, key, unit in (
        ("measured: processor seconds a step", "step_seconds", 1),
        ("measured: processor seconds to load a batch", "loading_seconds", 1),
        ("measured: operations a step", "operations", 1),
        ("measured: growth of the process, gigabytes", "grown_by_bytes", 1e9),
        ("extrapolated: hours on one such core", "hours", 1),
        ("extrapolated: hours on a GPU, at least", "gpu_hours", 1),
    ):
        assert f"| {text} | {loop[key] / unit:.3g} | {cached[key] / unit:.3g} |" in page
    for text in (
        f"Encoding a view takes {cached['fill_seconds_per_view']:.2f} s there",
        f"and {cached['cache_bytes_per_view']:,} bytes of cache",
        f"{measured['casia2_steps']:,} steps",
        f"assumed {measured['assumed_gpu_operations_per_second']:.0e} a second",
        f"{loop['loading_hours']} hours of one core",
        f"{measured['casia2_views']:,} views",
        f"{measured['casia2_fill_hours']} hours on that core, {measured['casia2_cache_gigabytes']} GB on disk",
    ):
        assert text in page.replace("\n", " ")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("guide", GUIDES, ids=lambda page: page.stem)
def test_a_guide_runs_from_top_to_bottom(guide: Path, tmp_path: Path) -> None:
    make_photos(tmp_path)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(tmp_path)]),
        "VILACO_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    for block in blocks_of(guide):
        if block.file:
            (tmp_path / block.file).write_text(block.text)
            if block.file == "pyproject.toml":
                stand_in_for_install(tmp_path)
        elif block.runs:
            command = [sys.executable, "-c"] if block.language == "python" else ["bash", "-euc"]
            run = subprocess.run(
                [*command, block.text], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert run.returncode == 0, f"{block.text}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}"


def make_photos(folder: Path) -> None:
    """What a reader has: ``photo.jpg``, ``photos/`` with two piles and masks, and authentic photos in ``held_out/``."""
    rng = np.random.default_rng(0)
    hosts = [load_photo(path).pixels for path in sorted((ROOT / "examples/photos/authentic").iterdir())]

    def crop(number: int) -> np.ndarray:
        host = hosts[number % len(hosts)]
        top, left = (int(rng.integers(0, host.shape[axis] - side + 1)) for axis, side in ((0, 144), (1, 192)))
        return host[top : top + 144, left : left + 192]

    def forged(number: int) -> tuple[np.ndarray, np.ndarray]:
        pixels, mask = crop(number).copy(), np.zeros((144, 192), np.uint8)
        top, left = rng.integers(0, 96, 2)
        pixels[top : top + 48, left : left + 48] = cv2.resize(crop(number + 1), (48, 48))
        mask[top : top + 48, left : left + 48] = 255
        return pixels, mask

    for name in ("photos/authentic", "photos/tampered", "photos/masks", "held_out"):
        (folder / name).mkdir(parents=True)
    for number in range(10):
        (folder / f"photos/authentic/a{number:02d}.jpg").write_bytes(encode_jpeg(crop(number), 90))
        pixels, mask = forged(number)
        (folder / f"photos/tampered/t{number:02d}.jpg").write_bytes(encode_jpeg(pixels, 90))
        (folder / f"photos/masks/t{number:02d}.png").write_bytes(encode_png(mask))
    for number in range(20):
        (folder / f"held_out/h{number:02d}.jpg").write_bytes(encode_jpeg(crop(number), 90))
    (folder / "photo.jpg").write_bytes(encode_jpeg(forged(0)[0], 90))


def stand_in_for_install(folder: Path) -> None:
    """What ``pip install --editable`` leaves of a package in a folder on Python's path."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    metadata = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
