"""The second thing done, to each pair of pictures that may share pixels: lay them over each other and look."""

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from vilaco.errors import ImageError
from vilaco.images import load_photo
from vilaco.names import one_line
from vilaco.reuse.describe import ReuseSettings
from vilaco.reuse.features import MAX_PIXELS, Features, reduced_grey
from vilaco.reuse.finding import find
from vilaco.reuse.register import Laid, lay
from vilaco.scan.sources import Item, read_bytes
from vilaco.scan.task import Task, surprise

_KEPT = 8  # pictures that a worker keeps decoded; pairs come sorted by one of theirs


class Side(NamedTuple):
    """One picture of a pair.

    Attributes:
        path: What the search calls it.
        location: Where its bytes are.
        sha256: Of them; its keypoints are filed under it.
    """

    path: str
    location: str
    sha256: str


class PairRow(BaseModel):
    """Two pictures that were laid over each other.

    Attributes:
        path: Names the pair: see :func:`pair_name`.
        first: Path of the one picture.
        second: Of the other.
        finding: What they have in common, as JSON of a :class:`~vilaco.reuse.finding.Finding`; ``None`` for nothing.
        error_code: Why they could not be looked at, one word.
        error_reason: The same in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    first: str
    second: str
    finding: str | None = None
    error_code: str | None = None
    error_reason: str | None = None


class CheckSettings(BaseModel):
    """What `Check` needs: the settings of the search, and the folder of the keypoints."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    search: ReuseSettings
    features: Path


def pair_name(first: str, second: str) -> str:
    """What a pair is called; no path holds a zero."""
    return f"{first}\0{second}"


def pair_item(first: Side, second: Side, *, mirrored: bool, alike: bool) -> Item:
    """A pair as the engines pass it on.

    Args:
        first: The one picture.
        second: The other.
        mirrored: Whether one of them is mirrored.
        alike: Whether they look alike as wholes, so that without keypoints they are compared edge to edge.
    """
    return Item(pair_name(first.path, second.path), json.dumps([first, second, mirrored, alike]))


class Check(Task[CheckSettings, PairRow]):
    """The per-pair function of a search for reuse."""

    settings_type, answer_type, noun = CheckSettings, PairRow, "search"

    def __init__(self, settings: CheckSettings) -> None:
        self.settings = settings
        self._greys: OrderedDict[str, tuple[np.ndarray, float]] = OrderedDict()

    def read(self, item: Item) -> tuple[Side, Side, bool, bool]:
        """Which pictures; they are read when it is known that they are needed."""
        first, second, mirrored, alike = json.loads(item.location)
        return Side(*first), Side(*second), bool(mirrored), bool(alike)

    def work(self, read: tuple[Side, Side, bool, bool]) -> PairRow:
        """Look at a pair; never raises."""
        first, second, mirrored, alike = read
        known: dict[str, Any] = {
            "path": pair_name(first.path, second.path),
            "first": first.path,
            "second": second.path,
        }
        try:
            ours, theirs = self._features(first), self._features(second)
            ways = lay(ours, theirs, mirrored=mirrored)
            if not ways and not alike:
                return PairRow(**known)
            grey, factor = self._grey(first)
            other, other_factor = self._grey(second)
            if not ways:  # nothing to go by but their looks: one over the other, edge to edge
                ways = [edge_to_edge(grey.shape, other.shape, factor, other_factor, mirrored=mirrored)]
                finding = find(grey, other, ways, factor, other_factor)
                finding = finding if finding is not None and finding.kind == "copy" else None
            else:
                finding = find(grey, other, ways, factor, other_factor)
            return PairRow(**known, finding=None if finding is None else finding.model_dump_json())
        except ImageError as error:
            return PairRow(**known, error_code=error.code, error_reason=one_line(f"{error.source}: {error.reason}"))
        except Exception as error:
            code, reason = surprise(error)
            return PairRow(**known, error_code=code, error_reason=one_line(reason))

    @classmethod
    def failed(cls, item: Item, settings: CheckSettings, code: str, reason: str) -> PairRow:
        """A pair that no worker lived to look at."""
        first, _, second = item.path.partition("\0")
        return PairRow(path=item.path, first=first, second=second, error_code=code, error_reason=one_line(reason))

    def _features(self, side: Side) -> Features:
        return Features.from_bytes(features_file(self.settings.features, side.sha256).read_bytes())

    def _grey(self, side: Side) -> tuple[np.ndarray, float]:
        if side.sha256 in self._greys:
            self._greys.move_to_end(side.sha256)
            return self._greys[side.sha256]
        data = read_bytes(Item(side.path, side.location), max_bytes=self.settings.search.max_bytes)
        photo = load_photo(data, max_pixels=self.settings.search.max_pixels, bytes_name=side.path)
        self._greys[side.sha256] = reduced_grey(photo.upright(photo.pixels), MAX_PIXELS)
        if len(self._greys) > _KEPT:
            self._greys.popitem(last=False)
        return self._greys[side.sha256]


def features_file(folder: Path, sha256: str) -> Path:
    """Where the keypoints of a file lie: under its digest, so that no name leads out of the folder."""
    return folder / sha256[:2] / f"{sha256}.bin"


def edge_to_edge(
    first: tuple[int, ...], second: tuple[int, ...], first_factor: float, second_factor: float, *, mirrored: bool
) -> Laid:
    """The one picture stretched over the other, both in their files' own pixels."""
    here, there = np.array(first[::-1]) / first_factor, np.array(second[::-1]) / second_factor
    scale = there / here
    matrix = np.zeros((2, 3))
    matrix[0, 0], matrix[1, 1] = scale
    matrix[:, 2] = 0.5 * scale - 0.5
    if mirrored:
        matrix[0, 0], matrix[0, 2] = -scale[0], there[0] - 0.5 * scale[0] - 0.5
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * (here - 1)
    return Laid(matrix, corners)
