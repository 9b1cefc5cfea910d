from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vilaco.similar import similar_groups


def slow_groups(values: list[int], max_distance: int) -> set[frozenset[int]]:
    """Every pair compared, groups grown until nothing changes."""
    groups = [{index} for index in range(len(values))]
    for one, other in combinations(range(len(values)), 2):
        if bin(values[one] ^ values[other]).count("1") <= max_distance:
            joined = [group for group in groups if group & {one, other}]
            groups = [group for group in groups if not group & {one, other}] + [set().union(*joined)]
    return {frozenset(group) for group in groups if len(group) > 1}


near = st.builds(
    lambda base, bits: base ^ sum({1 << bit for bit in bits}),
    st.sampled_from([0, 2**64 - 1, 0x0123456789ABCDEF]),
    st.lists(st.integers(0, 63), max_size=7),
)


@given(st.lists(near, max_size=25), st.integers(0, 8))
def test_no_pair_is_missed_and_none_is_added(values: list[int], max_distance: int) -> None:
    groups = similar_groups([f"{value:016x}" for value in values], max_distance=max_distance)
    assert {frozenset(group.tolist()) for group in groups} == slow_groups(values, max_distance)
    assert [len(group) for group in groups] == sorted(map(len, groups), reverse=True)
    for group in groups:
        assert (np.diff(group) > 0).all()


def test_many_equal_pictures_are_one_group_at_once() -> None:
    (group,) = similar_groups(["8000000000000000"] * 50_000)
    assert len(group) == 50_000
