"""What :mod:`vilaco.data.verify` reports: counts that add up, and every fault by file."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, computed_field

from vilaco.data.known_counts import KnownCount
from vilaco.names import Text
from vilaco.notes import Noted

MaskSizePolicy = Literal["skip", "resize", "fail"]
"""What to do with a mask whose size differs from its image: leave the image out, resize the mask, or stop."""


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fault(_Report):
    """One file and what is wrong with it."""

    file: Text
    reason: str


class MaskCounts(_Report):
    """Masks of a split; the statuses exclude each other and sum to ``listed``.

    Attributes:
        listed: Records that name a mask.
        good: Readable, of its image's size, and with tampered pixels exactly where the label says tampered.
        unreadable: Missing or broken.
        size_differs: Readable, but of another size than its image (or the image cannot be read).
        all_zero: Marks nothing, though the image is labelled tampered.
        contradicts_label: Marks something, though the image is labelled authentic.
        not_binary: Readable masks with more than two colours (anti-aliased or saved as JPEG); they have a
            status above as well. Columbia's coloured masks are not looked at.
        tampered_without_mask: Tampered images that name no mask.
        pixel_truth: Tampered images that evaluation can use: good masks, and under ``resize`` those of
            another size.
    """

    listed: int
    good: int
    unreadable: int
    size_differs: int
    all_zero: int
    contradicts_label: int
    not_binary: int
    tampered_without_mask: int
    pixel_truth: int


class SplitReport(_Report):
    """One split: ``images = authentic + tampered + unlabelled = readable + len(unreadable)``; ``boxed`` have boxes.

    ``noted`` are images that were read otherwise than their files store them; ``None`` where there is none.
    """

    name: Text
    format: str
    images: int
    authentic: int
    tampered: int
    unlabelled: int
    readable: int
    unreadable: list[Fault]
    masks: MaskCounts
    mask_faults: list[Fault]
    masks_not_binary: list[Text]
    boxed: int
    box_faults: list[Fault]
    scenes: int
    without_scene: int
    files_not_used: list[Text]
    noted: Noted | None
    known: list[KnownCount]


class SharedScene(_Report):
    """A scene with images in several splits."""

    scene: Text
    splits: list[Text]


class IdenticalFiles(_Report):
    """Records whose image files are the same, byte for byte."""

    sha256: str
    files: list[Text]
    labels: list[int | None]
    splits: list[Text]
    scenes: list[Text | None]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def labels_differ(self) -> bool:
        """Whether one of the copies has another label."""
        return len(set(self.labels)) > 1

    @computed_field  # type: ignore[prop-decorator]
    @property
    def splits_differ(self) -> bool:
        """Whether copies are in different splits."""
        return len(set(self.splits)) > 1

    @computed_field  # type: ignore[prop-decorator]
    @property
    def scenes_differ(self) -> bool:
        """Whether copies have scenes of different names, so that a split by scene can part them."""
        return None in self.scenes or len(set(self.scenes)) > 1


class VerifyReport(_Report):
    """What :func:`verify` found."""

    mask_size_policy: MaskSizePolicy
    splits: list[SplitReport]
    shared_scenes: list[SharedScene]
    identical_files: list[IdenticalFiles]

    @property
    def unreadable(self) -> int:
        """Images and masks that cannot be read."""
        return sum(len(split.unreadable) + split.masks.unreadable for split in self.splits)
