"""Which pictures may share pixels: descriptors ask for their nearest, and pictures whose answers agree are candidates.

The index is faiss's inverted file with 4-bit product codes (Jégou, Douze and Schmid, "Product quantization for nearest
neighbor search", TPAMI 2011; André et al., "Quicker ADC", TPAMI 2019). An answer is a vote for how two pictures lie
over each other; chance votes contradict each other, true ones do not.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from vilaco.errors import DataError
from vilaco.files import write_atomically
from vilaco.reuse.features import DIMENSIONS, Features, Floats, canonical
from vilaco.reuse.register import consistent

NEIGHBOURS = 10
"""Answers taken for each descriptor, itself among them."""
PROBES = 8
MAX_DISTANCE = 0.25
"""Squared distance of two descriptors at length 1, as the codes have it; 0.25 is a cosine of 0.875."""
MIN_VOTES = 3
MAX_CANDIDATES, MAX_WEAK, WEAK_VOTES = 20, 6, 6
"""Pictures that one picture is laid over, and those of them with fewer than so many votes; so that the work grows with
the collection and not with its square."""
CHUNK = 16
"""Pictures looked up together."""
SAMPLE = 64
"""Descriptors a list that the index is trained on."""
GROWN = 8
"""Descriptors, as a multiple of those that the index was made for, from which on it is made anew."""
_MAX_VOTES = 200  # for one pair of pictures; more say nothing new
_FACTS = np.dtype([("picture", np.int32), ("point", np.float16, 4), ("mirrored", np.bool_)])


class Candidate(NamedTuple):
    """Two pictures to be laid over each other.

    Attributes:
        first: Number of the one.
        second: Number of the other, larger.
        mirrored: Whether one is to be mirrored.
        votes: How many descriptors agree on it.
    """

    first: int
    second: int
    mirrored: bool
    votes: int


class Index:
    """Descriptors of pictures, which are numbered in the order in which they are added.

    Args:
        sample: Descriptors, `canonical`, of pictures like those to come, shape ``(N, 128)``.
        size: How many descriptors are to come.
    """

    _index: Any  # faiss describes its classes but in part

    def __init__(self, sample: Floats, size: int) -> None:
        import faiss

        lists = lists_for(min(size, len(sample) * 4))
        self._index = faiss.index_factory(DIMENSIONS, f"IVF{lists},PQ32x4fs" if lists > 1 else "Flat")
        if lists > 1:
            self._index.cp.seed, self._index.cp.niter = 0, 8
            self._index.cp.min_points_per_centroid = 1
            self._index.train(sample)
            self._index.nprobe = min(PROBES, lists)
        self.size = size
        self.names: list[str] = []
        self.candidates: list[Candidate] = []
        self._facts = np.zeros(0, _FACTS)

    @property
    def numbers(self) -> dict[str, int]:
        """Number of each picture, by what it is called."""
        return {name: number for number, name in enumerate(self.names)}

    def is_outgrown(self, size: int) -> bool:
        """Whether it is to hold so many more descriptors than it was made for that it should be made anew."""
        return size > GROWN * max(self.size, 4096)

    def add(self, names: Sequence[str], pictures: Sequence[Features]) -> None:
        """Add pictures, and look up each among those before it: more :attr:`candidates`.

        Args:
            names: What they are called, each but once; no line ends.
            pictures: Their keypoints; at most `CHUNK` at a time keep memory small.
        """
        first = len(self.names)
        self.names += names
        sizes = [len(picture.points) for picture in pictures]
        facts = np.zeros(sum(sizes), _FACTS)
        units = np.zeros((sum(sizes), DIMENSIONS), np.float32)
        end = 0
        for number, (picture, size) in enumerate(zip(pictures, sizes, strict=True), first):
            part = slice(end, end := end + size)
            units[part], facts["mirrored"][part] = canonical(picture)
            facts["picture"][part] = number
            facts["point"][part] = picture.points
        if not end:
            return
        self._index.add(units)
        self._facts = np.concatenate([self._facts, facts])
        distances, found = self._index.search(units, NEIGHBOURS)
        asking, answer = np.nonzero((found >= 0) & (distances < MAX_DISTANCE))
        theirs = self._facts[found[asking, answer]]
        ours = facts[asking]
        earlier = np.flatnonzero(theirs["picture"] < ours["picture"])
        _, once = np.unique(asking[earlier] * (1 << 32) + theirs["picture"][earlier], return_index=True)
        chosen = earlier[once]  # of each descriptor's answers from one picture the nearest, which comes first
        self.candidates += _elect(ours[chosen], theirs[chosen])

    def save(self, file: Path) -> None:
        """Write it, whole.

        Raises:
            VilacoError: If it cannot be written.
        """
        import faiss

        buffer = io.BytesIO()
        names = np.frombuffer("\n".join(self.names).encode(), np.uint8)
        np.savez(
            buffer,
            index=faiss.serialize_index(self._index),
            facts=self._facts,
            names=names,
            size=self.size,
            candidates=np.array(self.candidates, np.int64).reshape(-1, len(Candidate._fields)),
        )
        write_atomically(file, buffer.getvalue())

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read it.

        Raises:
            DataError: If it is damaged.
        """
        import faiss

        try:
            with np.load(file, allow_pickle=False) as stored:
                index = cls.__new__(cls)
                index._index = faiss.deserialize_index(stored["index"])
                index._facts, index.size = stored["facts"], int(stored["size"])
                names = stored["names"].tobytes().decode()
                index.names = names.split("\n") if names else []
                index.candidates = [
                    Candidate(first, second, bool(mirrored), votes)
                    for first, second, mirrored, votes in stored["candidates"].tolist()
                ]
        except Exception as error:  # zipfile, numpy and faiss have each their own
            raise DataError(f"{file}: is damaged; delete it, and it is made anew") from error
        return index


def lists_for(size: int) -> int:
    """Lists of an inverted file for so many descriptors; 1 where it is not worth one.

    Example:
        >>> lists_for(100), lists_for(200_000), lists_for(20_000_000)
        (1, 894, 8192)
    """
    return 1 if size < 4096 else min(8192, int(2 * np.sqrt(size)))


def _elect(ours: NDArray[Any], theirs: NDArray[Any]) -> list[Candidate]:
    """The pictures that each asking picture's votes agree on most, best first."""
    mirrored = ours["mirrored"] != theirs["mirrored"]
    key = (ours["picture"].astype(np.int64) << 32) + theirs["picture"].astype(np.int64) * 2 + mirrored
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    best: dict[tuple[int, int], Candidate] = {}
    for votes in np.split(order, starts[1:]):
        if len(votes) < MIN_VOTES:
            continue
        votes = votes[:_MAX_VOTES]
        asking, found, flip = int(ours["picture"][votes[0]]), int(theirs["picture"][votes[0]]), bool(mirrored[votes[0]])
        here, there = (facts["point"][votes].astype(np.float32) for facts in (theirs, ours))
        count = int(consistent(here, there, mirrored=flip).sum(axis=1).max())
        known = best.get((asking, found))
        if count >= MIN_VOTES and (known is None or known.votes < count):
            best[asking, found] = Candidate(found, asking, flip, count)
    elected: dict[int, list[Candidate]] = {}
    for each in sorted(best.values(), key=lambda each: (each.second, -each.votes, each.first)):
        elected.setdefault(each.second, []).append(each)
    return [
        each
        for candidates in elected.values()
        for rank, each in enumerate(candidates)
        if rank < (MAX_CANDIDATES if each.votes >= WEAK_VOTES else MAX_WEAK)
    ]
