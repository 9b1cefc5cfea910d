"""What all commands share: exit codes, messages and progress on stderr, results on stdout."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from vilaco.errors import PART_IS_THERE
from vilaco.names import one_line

if TYPE_CHECKING:
    from rich.progress import Progress

    from vilaco.images import PageChoice

EXIT_FINDING = 1
EXIT_WRONG_USE = 2
EXIT_SOME_FAILED = 3
EXIT_INTERRUPTED = 130

_PIPED_WIDTH = 140  # columns

T = TypeVar("T")


def error(message: str) -> None:
    """One line on stderr."""
    typer.secho(f"error: {one_line(message)}", err=True, fg=typer.colors.RED)


def note(message: str) -> None:
    """One line on stderr."""
    typer.secho(one_line(message), err=True)


def result(line: str, progress: "Progress") -> None:
    """One line of results on stdout; where that is the bar's own terminal, above the bar, which stays whole."""
    if progress.disable or not sys.stdout.isatty():
        typer.echo(one_line(line))
    else:
        progress.console.print(one_line(line), markup=False, highlight=False, soft_wrap=True)


def skipped(source: str, reason: str, code: str, progress: "Progress", *, judges_parts: bool = False) -> None:
    """One line on stderr, above the bar, for an image that could not be read.

    Args:
        source: The image.
        reason: Why.
        code: The same in a word.
        progress: The bar.
        judges_parts: Whether the command has the option ``--accept-truncated``.
    """
    if judges_parts and reason.endswith(PART_IS_THERE):
        reason += " (--accept-truncated judges it)"
    line = one_line(f"skipped: {source}: {reason} [{code}]")
    progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


def progress_bar() -> "Progress":
    """A rich progress bar on stderr, silent where stderr is not a terminal; stdout is left alone."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
        redirect_stdout=False,
    )


def tell_segmentations(folders: Sequence[Path]) -> None:
    """A line on stderr for each folder of segmentations: how many files of which kind."""
    from vilaco.data.forge.segments import kinds_in

    for folder in folders:
        kinds = kinds_in(folder)
        note(f"{folder}: " + (", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "no segmentations"))


def track(items: Iterable[T], description: str = "images") -> Iterator[T]:
    """Items behind a progress bar on stderr."""
    listed = list(items)
    with progress_bar() as progress:
        yield from progress.track(listed, description=description)


def screen() -> Any:
    """A rich console on stdout for tables; a file or pipe has no width of its own, and no figure may be cut off."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    return console


def wanted_page(given: str | None) -> "PageChoice":
    """What ``--page`` asks for.

    Raises:
        typer.BadParameter: If it is neither a number from 1 on nor ``all``.
    """
    from vilaco.images import ALL_PAGES

    if given is None or given == ALL_PAGES:
        return given
    if given.isdecimal() and int(given) > 0:
        return int(given)
    raise typer.BadParameter(f"must be a number from 1 on, or {ALL_PAGES}; got {given!r}", param_hint="--page")


def require(extra: str, *modules: str) -> None:
    """Say in one line what to install when a part of vilaco is not there.

    Raises:
        ConfigError: If a module is missing.
    """
    from importlib.util import find_spec

    from vilaco.errors import ConfigError

    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise ConfigError(f"{', '.join(missing)} not installed; run: pip install 'vilaco[{extra}]'")
