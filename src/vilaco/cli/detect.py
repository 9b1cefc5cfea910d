"""``vilaco detect``: a verdict, a mask and a map for photos."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vilaco.cli import console
from vilaco.weights import DEFAULT

if TYPE_CHECKING:
    from vilaco.files import FoundImage
    from vilaco.images import Photo
    from vilaco.report import ReportWriter


RESULTS = "results.jsonl"
_MAX_BATCH_BYTES = 3 * 32_000_000
"""Pixels of 32 megapixels: what is more than that is judged before more photos are decoded."""


class FailOn(StrEnum):
    """Findings that make the exit code 1."""

    tampered = "tampered"


def detect(
    paths: list[str] = typer.Argument(help="Photos, folders or globs; - is standard input.", show_default=False),
    out: Path | None = typer.Option(
        None,
        "--out",
        "-o",
        help="Write masks, maps, overlays and results.jsonl here; there, rows of photos of earlier runs stay, and new "
        "rows replace those of the same path. Results that lie here are not judged as photos.",
        show_default=False,
    ),
    report: Path | None = typer.Option(
        None,
        metavar="FILE",
        help="Write a report for people, FILE.html or FILE.pdf; of many photos an index, with their reports beside it.",
        show_default=False,
    ),
    trust_anchors: Path | None = typer.Option(
        None,
        metavar="FILE|FOLDER",
        help="For --report: PEM certificates of trusted signers of content credentials; or set VILACO_TRUST_ANCHORS.",
        show_default=False,
    ),
    model: str = typer.Option(DEFAULT, "--model", "-m", help="A shipped model, a model folder, or a hub name."),
    max_false_alarms: float | None = typer.Option(
        None,
        metavar="RATE",
        help="Share of authentic photos that may be called tampered, between 0 and 1; the model's own by default.",
        show_default=False,
    ),
    json_lines: bool = typer.Option(False, "--json", help="Print one JSON line a photo instead of text."),
    fail_on: FailOn | None = typer.Option(None, "--fail-on", help="Exit with code 1 when a photo is judged so."),
    max_failure_rate: float = typer.Option(
        0.0, min=0.0, max=1.0, help="Share of unreadable photos that still exits with code 0."
    ),
    page: str | None = typer.Option(
        None,
        metavar="N|all",
        help="Which picture of files that hold several (TIFF, animations, HEIC), from 1; all gives each a result.",
        show_default=False,
    ),
    accept_truncated: bool = typer.Option(
        False, "--accept-truncated", help="Judge the rows that are there of files that end too early."
    ),
    max_pixels: int = typer.Option(100_000_000, min=1, help="Refuse photos with more pixels than this."),
    batch_size: int = typer.Option(8, min=1, help="Photos looked at together."),
) -> None:
    """Say whether photos were tampered with, and where: tampered, nothing found, or cannot tell.

    A calibrated model calls at most the share --max-false-alarms of authentic photos tampered. The guarantee is
    conformal: it holds on average over photos like those the model was calibrated on, their saves and sizes
    included, not for each kind of photo. Likewise, regions are drawn on at most the share --max-suspicions of
    "vilaco calibrate". Where a region or the score is suspicious but too low for an accusation, the answer is "cannot
    tell". That nothing was found does not show that a photo is authentic. A model that is not calibrated promises
    nothing, decides at 0.5 and draws all that is above.

    Examples:

        vilaco detect photo.jpg

        vilaco detect holiday/ 'inbox/*.png' --out results --json

        vilaco detect photo.jpg --report case.html

        curl -s https://example.org/photo.jpg | vilaco detect -

        vilaco detect scan.tiff --page all --out results

        vilaco detect inbox/ --model runs/calibrated --max-false-alarms 0.02 --fail-on tampered
    """
    from vilaco.files import find_images, name_results, read_standard_input, refuse_unwritable, without_results

    wanted = console.wanted_page(page)
    if trust_anchors is not None and report is None:
        raise typer.BadParameter("is for the report; add --report FILE", param_hint="--trust-anchors")
    found = find_images([path for path in paths if path != "-"])
    if out is not None:
        refuse_unwritable(out)
        found = without_results(found, out)
    if "-" in paths:
        found.append(read_standard_input())

    from vilaco import report as reports
    from vilaco.errors import ImageError
    from vilaco.files import write_atomically
    from vilaco.images import ALL_PAGES, count_pages, load_photo
    from vilaco.localizer import Localizer
    from vilaco.result import UNLIKE, read_rows, saved_names

    cases: ReportWriter | None = None
    if report is not None:
        from vilaco.evidence import credentials

        many = len(found) > 1 or wanted == ALL_PAGES
        cases, anchors = reports.ReportWriter(report, many=many), credentials.trust_anchors(trust_anchors)
    rows = {} if out is None else read_rows(out / RESULTS)
    names = name_results(found, saved_names(list(rows.values())))
    localizer = Localizer.load(model, max_false_alarms=max_false_alarms)
    failures: list[ImageError] = []
    verdicts: Counter[str] = Counter()
    batch: list[tuple[FoundImage, Path, Photo]] = []

    def judge_batch() -> None:
        results = localizer.predict_many((photo for _, _, photo in batch), batch_size=batch_size)
        for (image, stem, photo), result in zip(batch, results, strict=True):
            if cases is not None:
                judge, source = reports.Judge.of(localizer), image.source
                name = image.relative.as_posix() + (f", page {photo.page}" if photo.pages > 1 else "")
                try:
                    cases.add(reports.Case.build(photo, result, judge, source=source, name=name, anchors=anchors))
                except ImageError as error:
                    skip(error)
                    continue
            verdicts[result.verdict] += 1
            row = result.to_row()
            if out is not None:
                row = row.model_copy(update=result.save(out, stem).below(out))
                rows[row.path, row.page] = row
            answer = f"{result.verdict:13}  {result.detection_score:.3f}"
            told = [*result.notes, *(f"{UNLIKE}: {trait}" for trait in result.unlike)]
            notes = f"  ({'; '.join(told)})" if told else ""
            text = f"{answer}  {len(result.regions):3d} regions  {result.path}{notes}"
            console.result(row.model_dump_json() if json_lines else text, progress)
        batch.clear()

    def skip(error: ImageError) -> None:
        failures.append(error)
        if cases is not None:
            cases.fail(error)
        console.skipped(error.source, error.reason, error.code, progress, judges_parts=True)

    def pages_of(image: "FoundImage") -> Iterable[int | None]:
        if wanted != ALL_PAGES:
            return [wanted]
        try:
            return range(1, 1 + count_pages(image.source, bytes_name=str(image.path)))
        except ImageError as error:
            skip(error)
            return []

    def look_at(image: "FoundImage", name: Path, number: int | None) -> None:
        called = str(image.path)
        photo = load_photo(
            image.source, max_pixels=max_pixels, bytes_name=called, page=number, accept_truncated=accept_truncated
        )
        stem = name if number is None or photo.pages == 1 else name.with_name(f"{name.name}.page{photo.page}")
        batch.append((image, stem, photo))
        if len(batch) == batch_size or sum(photo.pixels.nbytes for _, _, photo in batch) > _MAX_BATCH_BYTES:
            judge_batch()

    with console.progress_bar() as progress:
        task = progress.add_task("photos", total=len(found))
        try:
            for image, name in zip(found, names, strict=True):
                for number in pages_of(image):
                    try:
                        look_at(image, name, number)
                    except ImageError as error:
                        skip(error)
                progress.advance(task)
            judge_batch()
        finally:
            if out is not None:
                lines = "".join(row.model_dump_json() + "\n" for row in rows.values())
                write_atomically(out / RESULTS, lines.encode())
            if cases is not None:
                cases.close()

    counts = [f"{verdicts.total()} photos judged", f"{verdicts['tampered']} tampered"]
    if verdicts["cannot tell"]:
        counts.append(f"{verdicts['cannot tell']} cannot tell")
    if failures:
        counts.append(f"{len(failures)} skipped")
    console.note(", ".join(counts))
    if out is not None:
        console.note(f"results in {out}")
    if cases is not None:
        console.note(f"report in {report}" if verdicts or cases.many else "no report: no photo could be read")
    if failures and len(failures) > max_failure_rate * (verdicts.total() + len(failures)):
        raise typer.Exit(console.EXIT_SOME_FAILED)
    if verdicts["tampered"] and fail_on is FailOn.tampered:
        raise typer.Exit(console.EXIT_FINDING)
