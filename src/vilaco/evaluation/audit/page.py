"""An audit as one HTML file that needs nothing beside it."""

from collections.abc import Iterable
from html import escape

from vilaco.evaluation.audit.report import SHORTCUT_AUC, SHORTCUT_LOW, AlarmRate, AuditReport, ProbeResult

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
body{color:#1c2430;background:#fff}
h1{font-size:1.6rem} h2{font-size:1.15rem;margin-top:2rem}
.verdict{border-left:.4rem solid var(--tone);padding:.4rem 1rem;background:#f5f6f8}
.found{--tone:#b3261e} .none{--tone:#1b7f4b}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #dde1e6}
td.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
svg{display:block;width:100%;height:1.1rem}
.note{color:#5b6572;font-size:.9rem}
"""


def audit_page(report: AuditReport) -> str:
    """Draw a report.

    Args:
        report: Of :func:`~vilaco.evaluation.audit.dataset.audit_dataset`.

    Returns:
        The page, whole: style and bars inside, no script, nothing fetched.
    """
    counts = report.counts
    sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in report.verdict)
    sections = [
        f"<h1>Shortcut audit of {escape(report.data)}</h1>",
        f'<div class="verdict {"found" if report.has_shortcut else "none"}">{sentences}</div>',
        f"<p>{counts.records} records: {counts.authentic} authentic, {counts.tampered} tampered "
        f"({counts.tampered_with_mask} with a mask, {counts.masks_unusable} masks unusable, "
        f"{counts.masks_resized} resized), {counts.unlabelled} unlabelled, "
        f"{counts.duplicates} listed twice, {counts.unreadable} unreadable; {counts.scenes} scenes; "
        f"{report.folds} scene-disjoint folds, seed {report.seed}.</p>",
        "<h2>Can the labels be told from what cannot show a forgery?</h2>",
        _probe_table(report.probes),
        f'<p class="note">The tick is chance. A bar is red from an AUC of {SHORTCUT_AUC:.2f} with an '
        f"interval above {SHORTCUT_LOW:.2f}; whole pictures, in grey, may rightly show the forgery.</p>",
        "<h2>Authentic images saved like the tampered ones</h2>",
        _alarm_table(report.resave),
    ]
    if report.model is not None:
        skipped = ", ".join(f"{reason} {count}" for reason, count in report.model.skipped.items()) or "none"
        sections += [
            f"<h2>{escape(report.model.name)}</h2>",
            _alarm_table(report.model.alarms),
            _probe_table(report.model.probes),
            f'<p class="note">I-F1 (harmonic mean of sensitivity and specificity) '
            f"{report.model.image_f1_sen_spe_harmonic:.3f}. Left out: {escape(skipped)}.</p>",
        ]
    if report.problems:
        lines = "".join(f"<li>{escape(problem)}</li>" for problem in report.problems)
        sections += ["<h2>Files left out</h2>", f"<ul>{lines}</ul>"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Shortcut audit of {escape(report.data)}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(sections)}</body></html>\n"
    )


def _probe_table(probes: Iterable[ProbeResult]) -> str:
    rows = "".join(
        f"<tr><td>{escape(p.evidence)}</td><td>{escape(p.history)}</td>"
        f'<td class="number">{p.auc:.3f} ({p.low:.3f} to {p.high:.3f})</td>'
        f'<td style="width:35%">{_bar(p.auc, _tone(p), tick=0.5)}</td>'
        f'<td class="number">{p.authentic} + {p.tampered}</td></tr>'
        for p in probes
    )
    return (
        "<table><thead><tr><th>Evidence</th><th>Every image first</th><th>AUC (95% interval)</th><th></th>"
        f"<th>Authentic + tampered</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _alarm_table(alarms: Iterable[AlarmRate]) -> str:
    rows = "".join(
        f"<tr><td>{escape(a.judge)}</td><td>{escape(a.images)}</td>"
        f'<td class="number">{a.rate:.1%}</td><td style="width:35%">{_bar(a.rate, "#3b6ea8")}</td>'
        f'<td class="number">{a.count}</td></tr>'
        for a in alarms
    )
    return (
        "<table><thead><tr><th>Judge</th><th>Images</th><th>Called tampered</th><th></th><th>Count</th></tr>"
        f"</thead><tbody>{rows}</tbody></table>"
    )


def _tone(probe: ProbeResult) -> str:
    if not probe.can_be_shortcut:
        return "#a9b1bb"
    return "#b3261e" if probe.is_shortcut else "#1b7f4b"


def _bar(value: float, color: str, tick: float | None = None) -> str:
    width = 100.0 * min(1.0, max(0.0, value))
    mark = "" if tick is None else f'<rect x="{100 * tick:.0f}" width=".6" height="10" fill="#1c2430"/>'
    return (
        f'<svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{value:.2f}">'
        '<rect width="100" height="10" fill="#eceff2"/>'
        f'<rect width="{width:.1f}" height="10" fill="{color}"/>{mark}</svg>'
    )
