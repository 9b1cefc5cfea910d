"""Names of files as text: what a stranger called a file must neither break a line nor the file it is written to."""

import os
import re
import unicodedata
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters, lone surrogates, line and paragraph ends
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # make text read backwards

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/{1,2}[^/]")  # pathlib makes one slash of two


def is_url(path: str | Path) -> bool:
    """Whether a path that names no file looks like an address of the web.

    Example:
        >>> is_url("https://example.org/a.jpg"), is_url(Path("ftp://example.org/a.jpg")), is_url("C:/a.jpg")
        (True, True, False)
    """
    return _ADDRESS.match(os.fspath(path)) is not None and not os.path.lexists(path)


def as_text(path: str | Path) -> str:
    r"""A path as text that UTF-8 can hold; bytes of a name that are not UTF-8 become ``\xff``.

    Example:
        >>> as_text("caf\udce9.jpg")  # how Python reads the Latin-1 name b"caf\xe9.jpg"
        'caf\\xe9.jpg'
    """
    return os.fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def one_line(text: str | Path) -> str:
    r"""Text with line ends, terminal codes and other control characters written out.

    Example:
        >>> one_line("two\nlines.jpg")
        'two\\nlines.jpg'
    """
    return "".join(
        letter.encode("unicode_escape").decode()
        if letter in _TURNING or unicodedata.category(letter) in _UNPRINTABLE
        else letter
        for letter in str(text)
    )


Text = Annotated[str, AfterValidator(as_text)]
"""A field of a report that may name a file, whatever bytes its name has."""
