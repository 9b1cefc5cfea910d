"""``vilaco reuse``: the same picture, or a part of it, in two files of a collection."""

from pathlib import Path

import typer

from vilaco.cli import console
from vilaco.cli.scan import EngineName

_STAGES = {"describing": "pictures", "looking up": "looking up", "checking": "pairs", "writing": "writing"}


def reuse(
    sources: list[str] = typer.Argument(
        help="Pictures, folders, CSVs with a column path, or fsspec URLs.", show_default=False
    ),
    out: Path = typer.Option(
        ..., "--out", "-o", help="Folder of the results; the same again goes on.", show_default=False
    ),
    against: list[str] = typer.Option(
        [], metavar="KNOWN", help="A known collection: only pairs with one of its pictures count. Can be repeated."
    ),
    max_pixels: int = typer.Option(100_000_000, min=1, help="Refuse pictures with more pixels than this."),
    engine: EngineName = typer.Option(
        EngineName.local, help="What describes pictures: this machine, or a Ray cluster."
    ),
    workers: int | None = typer.Option(
        None, min=1, help="Pictures looked at at a time; one a core by default.", show_default=False
    ),
    address: str | None = typer.Option(
        None,
        help="Of the Ray cluster, e.g. ray://head:10001; without it, Ray runs on this machine.",
        show_default=False,
    ),
    time_limit: float = typer.Option(300.0, min=0.1, help="Seconds that a picture or a pair may take."),
    max_failure_rate: float = typer.Option(
        0.0, min=0.0, max=1.0, help="Share of unreadable pictures that still exits with code 0."
    ),
    retry_failed: bool = typer.Option(False, "--retry-failed", help="Look again at pictures that failed before."),
    pdf: bool = typer.Option(False, "--pdf", help="Write the reports of pairs as PDFs too."),
    fail_on: str | None = typer.Option(
        None, "--fail-on", metavar="STRENGTH", help="Exit with code 1 when a pair is so sure: strong, moderate or weak."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the counts as JSON."),
) -> None:
    """Find the same picture, or a part of it, in two files: pairs.jsonl, groups.json and summary.html under --out.

    It finds copies (re-saved, re-sized, cropped, turned, mirrored, recoloured), regions that two pictures share, and
    regions that repeat within one. Whether pixels are the same, or the same scene was shot twice, is told apart where
    fine detail allows. A pair is a lead: it does not say who used a picture again, or whether that was allowed.

    Stop it at any time, with Ctrl-C, kill -9 or the power switch: the same command goes on. Pictures that come later
    cost only themselves.

    Examples:

        vilaco reuse papers/ --out reuse

        vilaco reuse claims/2026/ --against claims/2025/ --out reuse --fail-on strong

        vilaco reuse a.jpg b.jpg --out reuse --pdf
    """
    console.require("reuse", "faiss", "pyarrow", "fsspec", "imagehash", "filelock", "scipy")
    strengths = ("strong", "moderate", "weak")
    if fail_on is not None and fail_on not in strengths:
        raise typer.BadParameter(f"is one of {', '.join(strengths)}", param_hint="--fail-on")
    if engine is EngineName.ray:
        console.require("ray", "ray")
    elif address is not None:
        raise typer.BadParameter("is of a Ray cluster; add --engine ray", param_hint="--address")
    if pdf:
        from vilaco.report.pdf import require_pdf

        require_pdf()
    from vilaco.reuse import run

    with console.progress_bar() as progress:
        task = progress.add_task("pictures", total=None)

        def tell(stage: str, done: int, total: int, path: str | None, problem: tuple[str, str] | None) -> None:
            progress.update(task, description=_STAGES[stage], completed=done, total=total)
            if path is not None and problem is not None:
                console.skipped(path, problem[1], problem[0], progress)

        report = run.reuse(
            sources,
            out,
            against=against,
            max_pixels=max_pixels,
            engine=engine.value,
            workers=workers,
            address=address,
            time_limit=time_limit,
            retry_failed=retry_failed,
            pdf=pdf,
            tell=tell,
        )

    failures = sum(report.failures.values())
    if as_json:
        typer.echo(report.model_dump_json())
    if report.interrupted:
        console.note(
            f"interrupted with {report.described:,} of {report.pictures:,} pictures done; the same command goes on"
        )
        raise typer.Exit(console.EXIT_INTERRUPTED)
    counts = [f"{report.described - failures:,} pictures"]
    counts += [f"{report.pairs[strength]:,} {strength} pairs" for strength in strengths if strength in report.pairs]
    counts += ["nothing was found twice"] if not report.pairs else []
    counts += [f"{report.groups:,} groups of copies"] if report.groups else []
    counts += [f"{failures:,} skipped"] if failures else []
    console.note(", ".join(counts))
    console.note(f"pairs in {out / 'pairs.jsonl'}, summary in {out / 'summary.html'}")
    if failures and failures > max_failure_rate * report.pictures:
        raise typer.Exit(console.EXIT_SOME_FAILED)
    if fail_on is not None and any(report.pairs.get(each) for each in strengths[: strengths.index(fail_on) + 1]):
        raise typer.Exit(console.EXIT_FINDING)
