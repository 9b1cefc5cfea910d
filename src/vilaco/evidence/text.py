"""Strangers' text made safe to show: file names and metadata are hostile input."""

import unicodedata

MAX_TEXT = 400
"""Longest text shown of one field, in characters; a caption fits, a payload does not."""


def plain(text: str, limit: int = MAX_TEXT) -> str:
    r"""Text on one line in which nothing invisible is left, and no more of it than a person would read.

    Control characters, the invisible ones that turn the direction of writing (``photo\u202egpj.exe`` would show as
    ``photoexe.jpg``) and halves of surrogate pairs become their escapes; white space becomes one space.

    Args:
        text: Any text.
        limit: Longest result before it is cut.

    Example:
        >>> print(plain("a\u202eb\n\x00c"))
        a\u202eb \x00c
        >>> plain("x" * 9, limit=4)
        'xxxx… (9 characters)'
    """
    shown = " ".join(text[: 4 * limit].split())
    shown = "".join(_escaped(letter) for letter in shown)
    if len(text) <= limit and len(shown) <= limit:
        return shown
    return f"{shown[:limit]}… ({len(text):,} characters)"


def _escaped(letter: str) -> str:
    if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co"):
        return letter.encode("unicode_escape").decode("ascii")
    return letter
