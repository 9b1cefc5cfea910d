"""A comparison in words, and what they do not mean."""

from vilaco.compare.row import ComparisonRow
from vilaco.names import one_line
from vilaco.report.words import Words

_NOT_PROVEN = "It does not say who changed the picture or what for, nor that the “original” is one."
_NOT_SEEN = (
    "Small changes below the noise of saves and resizing are not seen; a strong filter on the whole picture may be "
    "marked."
)
_NOT_TOLD = "Very small, blank or strongly distorted pictures cannot be told to be related, even if they are."


def put_in_words(row: ComparisonRow) -> Words:
    """What was found, in words."""
    if not row.related:
        return Words(
            "Not the same picture",
            ("Too few details agree for the one to have been made from the other, as far as this can see.",),
            (_NOT_TOLD,),
        )
    whole = "Every pixel that both have is the same." if row.same_pixels else _whole(row)
    count = len(row.regions)
    if not count:
        return Words(
            "Nothing is left unexplained",
            (whole, "No region differs by more than that leaves."),
            (_NOT_PROVEN, _NOT_SEEN),
        )
    area = sum(region.area for region in row.regions)
    regions = "One region" if count == 1 else f"{count} regions"
    return Words(
        f"{regions} {'is' if count == 1 else 'are'} changed",
        (
            whole,
            f"{regions} differ{'s' if count == 1 else ''} by more than that leaves, {area:,} pixels in all.",
        ),
        (_NOT_PROVEN, _NOT_SEEN),
    )


def text_line(row: ComparisonRow) -> str:
    """One line for the terminal."""
    words = put_in_words(row)
    mind = (f"Mind: {'; '.join(row.notes)}.",) if row.notes else ()
    return one_line(" ".join((f"{words.headline}.", *words.meaning, *mind)))


def _whole(row: ComparisonRow) -> str:
    did = []
    if row.seen is not None and row.seen < 0.98:
        did.append(f"cropped to {100 * row.seen:.0f}% of the original")
    if row.scale is not None and abs(row.scale - 1) > 0.005:
        did.append(f"scaled to {row.scale:.3g} times the size")
    if row.rotation is not None and abs(row.rotation) > 0.1:
        did.append(f"turned by {row.rotation:.1f}°")
    did += ["mirrored"] if row.mirrored else []
    did += ["turned to grey"] if row.greyed else []
    if row.brightness is not None and abs(row.brightness) >= 1:
        did.append(f"made {'brighter' if row.brightness > 0 else 'darker'} by {abs(row.brightness):.0f} levels")
    if row.blur:
        did.append(f"softened (about {row.blur:g} pixels)")
    if row.jpeg_quality is not None:
        shown = " once, as its pixels show," if row.jpeg_seen_in == "pixels" else ""
        did.append(f"saved{shown} as JPEG at about quality {row.jpeg_quality}")
    return f"The whole picture was {', '.join(did)}." if did else "Nothing was done to the whole picture."
