"""A pair in words, and what they do not mean."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vilaco.reuse.finding import DRAWN, RECURRING

if TYPE_CHECKING:
    from vilaco.reuse.results import Pair


@dataclass(frozen=True, slots=True)
class Sentences:
    """A pair in words.

    Attributes:
        headline: In a few words.
        meaning: What was found, a sentence or two each.
        limits: What it does not mean.
    """

    headline: str
    meaning: tuple[str, ...]
    limits: tuple[str, ...]


_LIMITS = (
    "It does not say which picture came first, who used it again, or whether that was allowed: pictures are re-used "
    "with good reason every day.",
    "Lettering, logos, scale bars and other drawn things repeat by nature. Look at both pictures yourself.",
)


def put_in_words(pair: "Pair") -> Sentences:
    """The pair in words."""
    if pair.same_file:
        return Sentences("The same file", ("Both files have the same bytes.",), _LIMITS[:1])
    region = pair.regions[0]
    headline = {
        "copy": "The same picture",
        "shared region": "A region in common",
        "repeat": "A region that repeats within the picture",
    }[pair.kind]
    if pair.origin == "same scene":
        headline = "The same scene, from another shot"
    meaning = []
    if pair.origin == "same pixels":
        meaning.append("The finest detail agrees, as it does in copies of the same pixels.")
    elif pair.origin == "same scene":
        meaning.append(
            "The same things are seen, but pixels agree in spots at most: as in two shots of one scene, not in a copy."
        )
    else:
        meaning.append("The pictures agree, but there is too little fine detail to tell a copy from another shot.")
    how = [f"{region.scale:.2f} times as large" if abs(region.scale - 1) > 0.02 else "of the same size"]
    if abs(region.rotation) > 1:
        how.append(f"turned by {region.rotation:.0f}°")
    if region.mirrored:
        how.append("mirrored")
    there = "The repeat" if pair.kind == "repeat" else "In the second picture it"
    meaning.append(f"{there} is {', '.join(how)}. {region.matches} keypoints agree.")
    if region.drawn >= DRAWN:
        meaning.append(
            "It looks drawn: lettering, lines or blank ground, which repeat by nature. So it counts as weak."
        )
    if region.recurs >= RECURRING:
        meaning.append(
            f"It lies in {region.recurs} different pictures, as logos, page headers and marks do. So it does not count "
            "as strong."
        )
    return Sentences(headline, tuple(meaning), _LIMITS)
