"""Every probability and range behind a forged data set, with its reason."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0)]


class ForgeConfig(BaseModel):
    """How forgeries are drawn; the defaults are what ``vilaco data forge`` uses.

    Shares are probabilities in [0, 1], weights are relative, areas are shares of the picture before its
    history. Everything in the last block (the history) is drawn for authentic and tampered pictures alike,
    before it is known which of the two a picture becomes, so that it cannot tell the label.

    Example:
        >>> ForgeConfig(removal=0.0, size=(256, 384)).size
        (256, 384)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tampered_share: Share = 0.5
    """Half and half: neither label is the better blind guess."""
    size: tuple[Annotated[int, Field(ge=64, le=8192)], Annotated[int, Field(ge=64, le=8192)]] | None = None
    """(height, width) in pixels of every finished picture; ``None`` lets the size follow the photo."""
    max_side: Annotated[int, Field(ge=64)] = 1024
    """Photos are first shrunk to this long side: web pictures are, and it bounds memory (3 MB a photo)."""

    copy_move: Weight = 0.32
    """Copy-move and splice are what the public test sets hold, so they are two thirds."""
    splice: Weight = 0.34
    removal: Weight = 0.14
    """Rarer in the public sets, common in the wild."""
    retouch: Weight = 0.14
    """Local blur, noise, colour or re-scaling."""
    text: Weight = 0.06
    """Thin and easily seen: a little is enough."""
    redraw: Weight = 0.14
    """By an image generator, where its autoencoder is at hand."""

    min_area: Share = 0.012
    """About the smallest region a patch-level detector can be asked to find."""
    max_area: Share = 0.30
    """Areas are log-uniform between the two: small forgeries are the common ones."""
    max_removal_area: Share = 0.12
    """No fill looks real on more."""
    small_share: Share = 0.0
    """Of the shapes: small ones, log-uniform from ``smallest_area`` to ``min_area``, as insurers meet them."""
    smallest_area: Share = 0.0003
    more_edits_share: Share = 0.0
    """Of the forged pictures: those with a second edit, and of these as many with a third."""
    segment_share: Share = 0.75
    """Of the shapes, where a human segmentation is at hand; the rest keeps clumsy selections in the set."""

    scale_share: Share = 0.6
    """A pasted object seldom fits at its own size."""
    min_scale: Annotated[float, Field(gt=0.0, le=1.0)] = 0.6
    max_scale: Annotated[float, Field(ge=1.0)] = 1.8
    """Scales are log-uniform; beyond these the blur of resampling gives the paste away to the eye."""
    rotate_share: Share = 0.4
    max_rotation: Annotated[float, Field(ge=0.0, le=180.0)] = 40.0
    """Degrees either way; objects stay roughly upright."""
    flip_share: Share = 0.3
    soft_edge_share: Share = 0.7
    """Editors feather selections by default; the rest are hard cuts."""
    max_feather: Annotated[float, Field(ge=0.5)] = 2.0
    """Standard deviation of the blended edge in pixels, drawn from 0.5 up."""
    match_colour_share: Share = 0.6
    """A careful forger fits the pasted part's colours to its surroundings."""
    match_noise_share: Share = 0.25
    """And sometimes blurs it a little or gives it grain."""

    whole_view_share: Share = 0.5
    """With a fixed size: shrink a larger window of the photo, rather than cut it out at the photo's own
    scale."""
    camera_share: Share = 0.7
    """Host and donor come from a camera's JPEG of their own; the rest keep only the JPEG traces they came
    with."""
    editor_save_share: Share = 0.5
    """Saved as JPEG right after the forgery, and then again below: double JPEG on the same grid."""
    edit_share: Share = 0.35
    """Innocent whole-picture edits: tone, colour, sharpening, slight blur or grain."""
    crop_share: Share = 0.35
    """Cuts 1 to 15 pixels off each side, which moves the JPEG grid."""
    resize_share: Share = 0.45
    """Re-scaled by a site or a messenger."""
    min_resize: Annotated[float, Field(gt=0.1, le=1.0)] = 0.5
    max_resize: Annotated[float, Field(ge=1.0, le=4.0)] = 1.25
    """Mostly down: that is what sites do; the factor is log-uniform."""
    web_save_share: Share = 0.4
    """Saved once more on the way, on the grid of the last crop and size."""
    webp_share: Share = 0.0
    """Saved as WebP on the way, in place of the web's JPEG: what many sites turn pictures into."""
    avif_share: Share = 0.0
    """Likewise, as AVIF."""
    passed_on_share: Share = 0.0
    """Passed on once more: re-scaled again, and saved as messengers do (JPEG 70 to 85, 4:2:0) or, of a screenshot,
    not saved before the file is."""
    png_share: Share = 0.1
    """Finished pictures that are PNG; all others are JPEG."""

    @model_validator(mode="after")
    def _ranges_in_order(self) -> Self:
        if not 0.0 < self.smallest_area < self.min_area:
            raise ValueError("areas need 0 < smallest_area < min_area")
        if not 0.0 < self.min_area < min(self.max_area, self.max_removal_area) or self.max_area > 0.5:
            raise ValueError("areas need 0 < min_area < max_area <= 0.5 and max_removal_area above min_area")
        if self.copy_move + self.removal + self.retouch + self.text <= 0.0:
            raise ValueError("at least one of copy_move, removal, retouch and text needs a weight above 0")
        return self
