"""What all commands share: exit codes, messages and progress on stderr, results on stdout."""

from typing import Any

import typer

EXIT_FINDING = 1
EXIT_WRONG_USE = 2
EXIT_SOME_FAILED = 3
EXIT_INTERRUPTED = 130


def error(message: str) -> None:
    """One line on stderr."""
    typer.secho(f"error: {message}", err=True, fg=typer.colors.RED)


def note(message: str) -> None:
    """One line on stderr."""
    typer.secho(message, err=True)


def progress_bar() -> Any:
    """A rich progress bar on stderr, silent where stderr is not a terminal."""
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
    )


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
