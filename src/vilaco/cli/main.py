"""The ``vilaco`` command: registers the command groups, and turns errors into one line and an exit code."""

import errno
import os
import re
import sys
import traceback
from typing import NoReturn

import typer

from vilaco import __version__, decoder_noise
from vilaco.cli import console, data
from vilaco.cli.audit import audit
from vilaco.cli.calibrate import calibrate
from vilaco.cli.compare import compare
from vilaco.cli.course import course
from vilaco.cli.detect import detect
from vilaco.cli.evaluate import evaluate
from vilaco.cli.export import export
from vilaco.cli.models import app as models
from vilaco.cli.reuse import reuse
from vilaco.cli.robustness import robustness
from vilaco.cli.scan import scan
from vilaco.cli.serve import serve
from vilaco.cli.train import train
from vilaco.errors import ConfigError, VilacoError

_EMPTY = re.compile(r"|--[a-z0-9-]+=")  # as a path it would mean the current folder
_OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # of a stream, which has no file name

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Find forged regions in photos; train on two piles of photos, authentic and tampered.",
)
app.command()(detect)
app.command()(scan)
app.command()(reuse)
app.command()(compare)
app.command()(train)
app.command()(course)
app.command()(calibrate)
app.command()(evaluate)
app.command()(robustness)
app.command()(audit)
app.command()(export)
app.command()(serve)
app.add_typer(data.app, name="data")
app.add_typer(models, name="models")


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        typer.echo(f"vilaco {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command and exit with one of the codes of :mod:`vilaco.cli.console`; 1 is a finding and nothing else."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    decoder_noise.capture()
    try:
        if any(_EMPTY.fullmatch(word) for word in sys.argv[1:]):
            raise ConfigError("an argument is empty; is a variable of the shell not set?")
        app()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # the reader of our output has gone; typer would say 1
            sys.exit(0)
        if isinstance(end.__context__, typer.Abort):
            sys.exit(console.EXIT_WRONG_USE)
        raise
    except VilacoError as error:
        console.error(error.args[0])
        for line in error.details:
            console.note(line)
        sys.exit(console.EXIT_WRONG_USE)
    except OSError as error:
        if error.errno not in _OUTPUT_ERRORS or error.filename is not None:
            _end_of_a_bug()
        console.error(f"the output cannot be written ({error.strerror})")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left in its buffer
        sys.exit(console.EXIT_WRONG_USE)
    except Exception:
        _end_of_a_bug()


def _end_of_a_bug() -> NoReturn:
    traceback.print_exc()
    sys.exit(console.EXIT_WRONG_USE)
