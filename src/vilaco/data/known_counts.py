"""How many images each public set has, and where papers disagree.

A result on 91 COVERAGE images is not a result on 100. ``vilaco data verify`` prints these counts beside what
it found, so a table can say which of the sets it is about.
"""

from pydantic import BaseModel, ConfigDict


class KnownCount(BaseModel):
    """Image counts of one data set as one source gives them.

    Attributes:
        source: Who counts: the set's authors, or a paper that tests on a part of it.
        authentic: Number of authentic images; ``None`` where the source does not say.
        tampered: Number of tampered images; ``None`` where the source does not say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    authentic: int | None
    tampered: int | None


def _count(source: str, authentic: int | None, tampered: int | None) -> KnownCount:
    return KnownCount(source=source, authentic=authentic, tampered=tampered)


KNOWN_COUNTS: dict[str, tuple[KnownCount, ...]] = {
    "casia1": (
        _count("authors, TruFor", 800, 921),
        _count("MVSS-Net", 800, 920),
        _count("WSCL", 800, 919),
    ),
    "casia2": (_count("authors", 7491, 5123), _count("WSCL, ViLaCo", 7491, 5121)),
    "columbia": (_count("authors", 183, 180),),
    "coverage": (_count("authors", 100, 100), _count("WSCL", None, 91)),
    "imd2020": (_count("authors", 414, 2010),),
    "dso1": (_count("authors", 100, 100),),
    "nist16": (_count("MVSS-Net", None, 564), _count("TruFor", None, 160)),
    "cocoglide": (_count("authors", 512, 512),),
    "micc_f220": (_count("authors", 110, 110),),
    "comofod": (_count("authors, small set", 200, 200), _count("authors, with post-processing", 5200, 5200)),
}
"""Counts by the format's name in :data:`vilaco.data.formats.READERS`; the whole set's goes first."""
