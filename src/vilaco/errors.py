"""Errors that a user can cause; each message is one clear line that names the thing and the reason."""

from functools import partial
from pathlib import Path
from typing import Any

from vilaco.names import one_line

PART_IS_THERE = "of the picture is there"
"""Ends the reason for refusing a file cut short of which some rows could be judged."""


class VilacoError(Exception):
    """Base of every error a user can cause; the command line prints it and exits with code 2.

    Attributes:
        details: Further lines that help, each complete in itself.
    """

    details: tuple[str, ...] = ()


class ImageError(VilacoError):
    """One image cannot be read; the rest of a batch goes on.

    Attributes:
        source: The file, or ``"<bytes>"`` for an image that came without a name.
        reason: What is wrong, in words.
        code: A short machine-readable word, e.g. ``"truncated"`` or ``"too_many_pixels"``.
    """

    def __init__(self, source: str | Path, reason: str, *, code: str) -> None:
        super().__init__(f"{one_line(source)}: {reason}")
        self.source = str(source)
        self.reason = reason
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross to another process, as errors do by their positional arguments alone."""
        return partial(ImageError, code=self.code), (self.source, self.reason)


class DataError(VilacoError):
    """A data set, manifest or mask is not usable as given."""

    def __init__(self, message: str, *, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.details = details

    def __str__(self) -> str:
        return "\n".join([self.args[0], *self.details])


class UnknownFormat(DataError):
    """No known format fits a path."""


class ConfigError(VilacoError):
    """A setting, recipe or option is unknown or out of range."""


class ModelError(VilacoError):
    """A checkpoint or an encoder's weights are missing or do not fit."""
