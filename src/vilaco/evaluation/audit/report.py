"""What an audit says, as a wire format: every figure with the number of images behind it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from vilaco.names import Text

SHORTCUT_AUC, SHORTCUT_LOW = 0.60, 0.55
"""A probe is called a shortcut from this AUC on, if its interval lies above the second number.

Eleven probes are asked of every set; an interval just clear of 0.5 would come by chance too often.
"""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ProbeResult(_Frozen):
    """How well labels can be told from one kind of evidence that cannot show a forgery.

    Attributes:
        evidence: What the classifier saw, e.g. ``"JPEG tables"`` or ``"background"``.
        history: What was done to every image first: ``"as stored"``, ``"JPEG 80"``, ``"0.9x, JPEG 80"``.
        can_be_shortcut: False for the whole picture, which may rightly show the forgery; it is there to
            compare.
        auc: Area under the ROC curve, scene-disjoint.
        low: Lower end of its 95% bootstrap interval over images.
        high: Upper end.
        authentic: Images behind it.
        tampered: Images behind it.
    """

    evidence: str
    history: str
    can_be_shortcut: bool
    auc: float
    low: float
    high: float
    authentic: int
    tampered: int

    @property
    def is_shortcut(self) -> bool:
        """Whether this evidence tells the labels although it cannot show a forgery."""
        return self.can_be_shortcut and self.auc >= SHORTCUT_AUC and self.low > SHORTCUT_LOW


class AlarmRate(_Frozen):
    """Share of images called tampered by one judge: score above 0.5, or above a calibrated model's own threshold.

    Attributes:
        judge: ``"metadata"``, ``"picture statistics"`` (each by classifiers that never saw the scene), or the
            model's name.
        images: Which images and in what state, e.g. ``"authentic, as stored"``.
        rate: Share called tampered.
        count: Images behind it.
    """

    judge: str
    images: str
    rate: float
    count: int


class ModelAudit(_Frozen):
    """What one model does with this set.

    Attributes:
        name: The model.
        image_f1_sen_spe_harmonic: ``2 sen spe / (sen + spe)`` at 0.5 on the images as stored.
        alarms: False-alarm rates of authentic images, and the share of tampered ones found.
        probes: AUC of its score on whole images and on background crops.
        skipped: Images it could not judge, by reason.
    """

    name: str
    image_f1_sen_spe_harmonic: float
    alarms: tuple[AlarmRate, ...]
    probes: tuple[ProbeResult, ...]
    skipped: dict[str, int]


class ImageCounts(_Frozen):
    """Where every record of the set went.

    ``records = authentic + tampered + unlabelled + duplicates + unreadable``. A duplicate is the same
    record listed again.
    """

    records: int
    authentic: int
    tampered: int
    unlabelled: int
    duplicates: int
    unreadable: int
    tampered_with_mask: int
    masks_unusable: int
    masks_resized: int
    scenes: int


class AuditReport(_Frozen):
    """Can the labels of this set be told without looking at the forgery?

    Attributes:
        format: Version of this layout.
        data: What the set is called.
        seed: Of folds, classifiers, borrowed masks and bootstrap.
        folds: Scene-disjoint folds.
        counts: Where every record went.
        probes: Metadata first, then pictures.
        resave: Authentic images before and after a save through the tampered images' pipelines.
        model: Present if a model was audited too.
        problems: One line for each file that could not be read.
        verdict: Plain sentences, the most telling first.
    """

    format: Literal["vilaco-audit-1"] = "vilaco-audit-1"
    data: Text
    seed: int
    folds: int
    counts: ImageCounts
    probes: tuple[ProbeResult, ...]
    resave: tuple[AlarmRate, ...]
    model: ModelAudit | None
    problems: tuple[Text, ...]
    verdict: tuple[Text, ...]

    @property
    def has_shortcut(self) -> bool:
        """Whether any probe of the set found a shortcut."""
        return any(probe.is_shortcut for probe in self.probes)
