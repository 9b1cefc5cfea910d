"""An audit's figures in plain words."""

from collections.abc import Sequence

from vilaco.evaluation.audit.report import AlarmRate, ImageCounts, ModelAudit, ProbeResult


def verdict(
    data: str,
    counts: ImageCounts,
    probes: Sequence[ProbeResult],
    resave: Sequence[AlarmRate],
    model: ModelAudit | None,
) -> tuple[str, ...]:
    """Say what the figures mean.

    Args:
        data: What the set is called.
        counts: Of its images.
        probes: Of the set.
        resave: Alarm rates before and after a save like the tampered, by judge.
        model: Present if a model was audited.

    Returns:
        Sentences, the most telling first.
    """
    sentences = [*_metadata(data, probes), *_background(data, counts, probes), *_resave(resave)]
    if not any(probe.is_shortcut for probe in probes):
        judged = "metadata and background" if any(p.evidence == "background" for p in probes) else "metadata"
        sentences.insert(0, f"No shortcut found in {data}: {judged} do not tell the labels.")
    if model is not None:
        sentences += _model(model)
    return tuple(sentences)


def _metadata(data: str, probes: Sequence[ProbeResult]) -> list[str]:
    asked = [probe for probe in probes if probe.evidence not in ("background", "whole picture")]
    found = sorted((p for p in asked if p.is_shortcut and p.evidence != "all metadata"), key=lambda p: -p.auc)
    if found:
        first, others = found[0], found[1:]
        text = f"Labels of {data} can be told from {first.evidence} alone, {_auc(first)}."
        if others:
            text += " Telling too: " + ", ".join(f"{p.evidence} ({_short(p)})" for p in others) + "."
        return [text]
    together = next((probe for probe in asked if probe.evidence == "all metadata"), None)
    if together is None:
        return []
    if together.is_shortcut:
        return [f"Labels of {data} can be told from all metadata together, {_auc(together)}."]
    return [f"Metadata do not tell the labels ({_auc(together)})."]


def _background(data: str, counts: ImageCounts, probes: Sequence[ProbeResult]) -> list[str]:
    by_history = {probe.history: probe for probe in probes if probe.evidence == "background"}
    if not by_history:
        whole = next((probe for probe in probes if probe.evidence == "whole picture"), None)
        known = f"; the whole picture's JPEG statistics reach {_auc(whole)}" if whole else ""
        return [
            f"The background alone was not judged: {counts.tampered_with_mask} of {counts.tampered} tampered "
            f"images have a mask{known}."
        ]
    stored, *changed = by_history.values()
    after = ", ".join(f"{probe.history}: {_short(probe)}" for probe in changed)
    if stored.is_shortcut:
        lasting = "; re-compression does not hide it" if changed and changed[0].is_shortcut else ""
        return [
            f"Labels of {data} can be told from the background alone, with the tampered region cut out, "
            f"{_auc(stored)}{lasting} ({after})."
        ]
    if any(probe.is_shortcut for probe in changed):
        return [f"The background tells the labels once every image is changed alike ({after})."]
    return [f"The background alone does not tell the labels ({_auc(stored)}; {after})."]


def _resave(resave: Sequence[AlarmRate]) -> list[str]:
    sentences = []
    for before, after in zip(resave[::2], resave[1::2], strict=True):
        sentences.append(
            f"A simple classifier of {before.judge} calls {before.rate:.0%} of authentic images tampered as "
            f"stored, {after.rate:.0%} once they are saved like the tampered ones."
        )
    return sentences


def _model(model: ModelAudit) -> list[str]:
    stored, *changed = (alarm for alarm in model.alarms if alarm.images.startswith("authentic"))
    rates = ", ".join(f"{a.images.removeprefix('authentic, ')} {a.rate:.0%}" for a in changed)
    sentences = [
        f"{model.name}: I-F1 (sensitivity and specificity) {model.image_f1_sen_spe_harmonic:.3f}; "
        f"false alarms on authentic images as stored {stored.rate:.0%}, {rates}."
    ]
    for probe in model.probes:
        if probe.can_be_shortcut:
            reads = "tells the labels from" if probe.is_shortcut else "does not tell the labels from"
            sentences.append(f"{model.name} {reads} a crop of untouched background ({_auc(probe)}).")
    return sentences


def _short(probe: ProbeResult) -> str:
    return _share(probe.auc)


def _auc(probe: ProbeResult) -> str:
    return f"AUC {_short(probe)} (95% interval {_share(probe.low)} to {_share(probe.high)})"


def _share(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")
