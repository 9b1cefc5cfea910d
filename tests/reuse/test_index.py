"""Who may share pixels with whom."""

from pathlib import Path

import numpy as np
import pytest

from pictures import make_textured
from vilaco.errors import DataError
from vilaco.images import resave_jpeg
from vilaco.reuse.features import Features, canonical, extract
from vilaco.reuse.index import Candidate, Index, lists_for

pytest.importorskip("faiss", reason="needs vilaco[reuse]")


@pytest.fixture(scope="module")
def pictures() -> list[Features]:
    """Eight pictures, of which the sixth is the second again, mirrored, and the seventh the third, saved again."""
    plain = [make_textured(np.random.default_rng(seed), 200, 260) for seed in range(5)]
    mirrored = resave_jpeg(np.ascontiguousarray(plain[1][:, ::-1]), 85)
    blank = np.full((50, 50, 3), 255, np.uint8)
    return [extract(each) for each in (*plain, mirrored, resave_jpeg(plain[2], 60), blank)]


def filled(pictures: list[Features], chunk: int) -> Index:
    sample = np.concatenate([canonical(each)[0] for each in pictures])
    index = Index(sample, len(sample))
    for start in range(0, len(pictures), chunk):
        part = range(start, min(start + chunk, len(pictures)))
        index.add([f"picture {number}" for number in part], [pictures[number] for number in part])
    return index


def sure(index: Index) -> set[tuple[int, int, bool]]:
    return {(each.first, each.second, each.mirrored) for each in index.candidates if each.votes >= 20}


@pytest.mark.parametrize("chunk", [1, 3, 8])
def test_copies_are_candidates_whenever_they_come(pictures: list[Features], chunk: int) -> None:
    assert sure(filled(pictures, chunk)) == {(1, 5, True), (2, 6, False)}


def test_saved_and_read_it_goes_on(pictures: list[Features], tmp_path: Path) -> None:
    half = filled(pictures[:6], 3)
    half.save(tmp_path / "index.npz")
    read = Index.load(tmp_path / "index.npz")
    assert read.names == half.names
    assert read.candidates == half.candidates
    read.add(["picture 6", "picture 7"], pictures[6:])
    assert (2, 6, False) in sure(read)
    assert read.numbers["picture 6"] == 6
    (tmp_path / "index.npz").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="is damaged; delete it"):
        Index.load(tmp_path / "index.npz")


def test_nothing_but_blank_pictures() -> None:
    index = Index(np.zeros((0, 128), np.float32), 0)
    index.add(["a", "b"], [extract(np.zeros((9, 9, 3), np.uint8))] * 2)
    assert index.candidates == []


def test_it_is_made_anew_when_it_has_grown_eightfold() -> None:
    index = Index(np.zeros((0, 128), np.float32), 100_000)
    assert not index.is_outgrown(800_000)
    assert index.is_outgrown(800_001)


def test_lists_grow_with_the_root() -> None:
    assert lists_for(4 * 250_000) == 2 * lists_for(250_000)
    assert Candidate(0, 1, False, 3).votes == 3
