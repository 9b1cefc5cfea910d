"""What decoders written in C say of a damaged file, kept off the terminal and told once.

libtiff and libpng write to file descriptor 2, line upon line and without the file's name. A process that calls
`capture` gives them a pipe instead; Python's own ``sys.stderr`` goes where it went. :func:`vilaco.decoding.decode` asks
`take` after each file and makes a note of it. A process that does not call `capture`, such as a program that uses
vilaco as a library, keeps its descriptors as they are.
"""

import faulthandler
import io
import os
import sys

_LONGEST = 120
_heard: int | None = None  # the end of the pipe that is read; None where nothing is captured
python_stderr = 2
"""The descriptor that ``sys.stderr`` writes to: what to start child processes with that shall be heard."""


def capture() -> None:
    """Take file descriptor 2 from the libraries; Python's ``sys.stderr`` keeps its place.

    Does nothing where ``sys.stderr`` is not that descriptor, or the system knows no such pipes (Windows).
    """
    global _heard, python_stderr
    try:
        if os.name == "nt" or sys.stderr.fileno() != 2:
            return
    except (AttributeError, ValueError, io.UnsupportedOperation):  # closed, or no file
        return
    python_stderr = os.dup(2)
    sys.stderr = os.fdopen(python_stderr, "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)
    faulthandler.enable(sys.stderr)  # a crash is told there, too
    _heard, said = os.pipe()
    for end in (_heard, said):
        os.set_blocking(end, False)  # what is too much is dropped
    os.dup2(said, 2)
    os.close(said)


def take() -> str | None:
    """What was said since the last time: its first line, and how many more there were; ``None`` for nothing."""
    if _heard is None:
        return None
    data = b""
    try:
        while chunk := os.read(_heard, 1 << 16):
            data += chunk
    except BlockingIOError:
        pass
    lines = [line for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    if not lines:
        return None
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return lines[0].strip()[:_LONGEST] + more
