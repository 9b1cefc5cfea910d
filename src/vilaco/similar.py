"""Which pictures of a collection look the same, by their perceptual hashes.

The hash is the classic 64-bit pHash of the library imagehash: signs of the low frequencies of a 32 x 32 grey version
(Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010).
"""

import itertools
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

MAX_DISTANCE = 4
"""Bits in which two pictures of a group may differ; a re-save or a re-size changes few, another picture about 32."""
_BITS = 64


def similar_groups(hashes: Sequence[str], *, max_distance: int = MAX_DISTANCE) -> list[np.ndarray]:
    """Groups of near-identical pictures: chains in which each differs from another in at most ``max_distance`` bits.

    No pair is missed: cut into ``max_distance + 1`` bands, two hashes that near are equal in at least one of them, so
    only those equal in a band are compared (the pigeonhole principle; Manku, Jain and Das Sarma, "Detecting
    near-duplicates for web crawling", WWW 2007).

    Args:
        hashes: 64 bits in hexadecimal, one a picture.
        max_distance: In bits, from 0 to 63.

    Returns:
        Ascending indices into ``hashes`` for each group of two or more, the largest group first.

    Example:
        >>> similar_groups(["00000000000000ff", "ffffffffffffffff", "00000000000000fe"])
        [array([0, 2])]
    """
    values = np.array([int(text, 16) for text in hashes], np.uint64)
    unique, group_of = np.unique(values, return_inverse=True)
    pairs = [_near_pairs(unique, band, max_distance) for band in _bands(max_distance + 1)]
    rows, columns = np.concatenate(pairs, axis=1) if len(unique) else np.zeros((2, 0), np.intp)
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(unique), len(unique)))
    _, component = connected_components(graph, directed=False)
    members = component[group_of]
    order = np.argsort(members, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(members[order])) + 1)
    return sorted((group for group in groups if len(group) > 1), key=len, reverse=True)


def _bands(count: int) -> list[np.uint64]:
    """Masks that cut the bits into so many bands."""
    edges = [round(index * _BITS / count) for index in range(count + 1)]
    return [np.uint64((1 << high) - (1 << low)) for low, high in itertools.pairwise(edges)]


def _near_pairs(values: np.ndarray, band: np.uint64, max_distance: int) -> np.ndarray:
    """Indices (2, N) of pairs that are equal in a band and near in all bits."""
    keys = values & band
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=~keys[order[:1]])) if len(order) else order
    found = [np.zeros((2, 0), np.intp)]
    for bucket in np.split(order, starts[1:]):
        for index, first in enumerate(bucket[:-1]):
            others = bucket[index + 1 :]
            near = others[np.bitwise_count(values[others] ^ values[first]) <= max_distance]
            found.append(np.stack([np.full_like(near, first), near]))
    return np.concatenate(found, axis=1)
