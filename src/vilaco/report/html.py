"""Reports as HTML files that need nothing beside them: styles, scripts and pictures inside, nothing fetched.

Names and metadata are strangers' text, so every template escapes what it shows, and a content security policy in the
file lets no script or style run but the two whose hashes it names, and no request leave.
"""

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict

from vilaco import __version__
from vilaco.errors import ImageError
from vilaco.evidence.text import plain
from vilaco.report.case import Case
from vilaco.report.words import place, put_in_words, share
from vilaco.result import Verdict


class IndexRow(BaseModel):
    """One line of an index: a `Case` without its pictures.

    Attributes:
        link: Path of the case's own report, from the index: URL-quoted to be followed, or as it is for paper.
        name: What the photo is called.
        verdict: See `Result.verdict`.
        detection_score: In [0, 1].
        regions: How many there are.
        hints: What the file says that a person should look at, and how it was read, a few words each.
        thumbnail: The overlay, small, JPEG.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    link: str
    name: str
    verdict: Verdict
    detection_score: float
    regions: int
    hints: tuple[str, ...]
    thumbnail: bytes

    @classmethod
    def of(cls, case: Case, link: str) -> "IndexRow":
        """The line of a case."""
        return cls(
            link=link,
            name=case.name,
            verdict=case.row.verdict,
            detection_score=case.row.detection_score,
            regions=len(case.row.regions),
            hints=(*hints(case), *case.row.notes),
            thumbnail=case.views.thumbnail,
        )


def hints(case: Case) -> tuple[str, ...]:
    """What in a file's evidence is worth a look, a few words each; none of it is a verdict."""
    evidence = case.evidence
    if evidence is None:
        return ()
    found = [trace.program for trace in evidence.software if trace.program is not None]
    if any(thumbnail.differs for thumbnail in evidence.thumbnails):
        found.append("preview differs")
    if evidence.credentials.status == "present":
        found.append("credentials intact" if evidence.credentials.intact else "credentials broken")
        found += ["credentials of an ingredient broken"] if evidence.credentials.ingredient_faults else []
    return tuple(dict.fromkeys(found))


def render_case(case: Case, *, index_link: str | None = None, interactive: bool = True) -> str:
    """One photo's report.

    Args:
        case: The photo.
        index_link: URL-quoted path of the index it belongs to, if any.
        interactive: Whether there are sliders, or everything is laid out as on paper.

    Returns:
        A whole HTML page.
    """
    return render_page(
        "case.html.jinja",
        "case.js" if interactive else None,
        case=case,
        row=case.row,
        judge=case.judge,
        evidence=case.evidence,
        views=case.views,
        words=put_in_words(case),
        index_link=index_link,
        made_at=case.made_at,
    )


def render_index(
    rows: Sequence[IndexRow], *, made_at: datetime, failures: Sequence[ImageError] = (), interactive: bool = True
) -> str:
    """A table of many photos, worst first, each linked to its own report.

    Args:
        rows: The photos.
        made_at: When, with a time zone.
        failures: What could not be read.
        interactive: Whether the columns can be sorted.

    Returns:
        A whole HTML page.
    """
    order = {"tampered": 0, "cannot tell": 1, "nothing found": 2}
    return render_page(
        "index.html.jinja",
        "index.js" if interactive else None,
        rows=sorted(rows, key=lambda row: (order[row.verdict], -row.detection_score)),
        counts={verdict: sum(row.verdict == verdict for row in rows) for verdict in order},
        failures=failures,
        made_at=made_at,
    )


def render_page(template: str, script: str | None, **facts: object) -> str:
    """A page in the style of reports, with its content policy.

    Args:
        template: File of the folder ``templates``.
        script: Likewise, or ``None`` for paper.
        facts: What the template shows.

    Returns:
        A whole HTML page.
    """
    style, code = _inline("report.css"), _inline(script) if script else Markup("")
    sources = f"script-src '{_hash(code)}'; " if script else ""
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; {sources}base-uri 'none'; form-action 'none'"
    )
    page = _environment().get_template(template)
    return page.render(
        **facts, style=style, script=code, policy=Markup(policy), version=__version__, interactive=script is not None
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("vilaco.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(jpeg=_jpeg, png=_png, moment=_moment, plain=plain, share=share)
    environment.globals.update(place=place)
    return environment


@cache
def _inline(name: str) -> Markup:
    """A style sheet or script of ours, to stand in the page as it is."""
    return Markup((files("vilaco.report") / "templates" / name).read_text("utf-8"))


def _hash(text: str) -> Markup:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Markup(f"sha256-{digest}")


def _jpeg(data: bytes) -> Markup:
    return Markup("data:image/jpeg;base64," + base64.b64encode(data).decode())


def _png(data: bytes) -> Markup:
    return Markup("data:image/png;base64," + base64.b64encode(data).decode())


def _moment(time: datetime) -> str:
    return f"{time.day} {time:%B %Y, %H:%M %Z}"
