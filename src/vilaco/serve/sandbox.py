"""Decode strangers' files in a process of their own, with limits on memory and time.

Each file gets a fresh process, so that a crash, a hang or a bomb costs one photo, and nothing of one caller's
file is left where the next one's is read. What comes back is JSON and raw pixels, checked against the limits: no
pickle of a process that a file may have taken over is ever loaded. Where the system knows no limits on memory
(Windows), the one on time holds.
"""

import multiprocessing
import signal
import threading
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from vilaco import decoder_noise
from vilaco.errors import ImageError
from vilaco.evidence import Evidence, read_evidence
from vilaco.images import Photo, load_photo
from vilaco.serve.settings import MIB

_MAX_HEADER = 4 * MIB


class _Decoded(BaseModel):
    """What the child says before it sends pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    height: int = 0
    width: int = 0
    orientation: int = 1
    page: int = 1
    pages: int = 1
    rows: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()
    evidence: Evidence | None = None
    error: str | None = None
    code: str = ""


class Choice(NamedTuple):
    """What of a file to judge.

    Attributes:
        page: Which of its pictures, from 1; the one that it opens with if ``None``.
        accept_truncated: Whether the rows that are there of a file that ends too early are a photo.
    """

    page: int | None = None
    accept_truncated: bool = False


AS_IT_OPENS = Choice()


class Sandbox:
    """Decodes files in child processes.

    Args:
        max_pixels: Largest width times height.
        seconds: Wall-clock and CPU seconds a file may take.
        megabytes: Address space of a child, in MiB.
        anchors: PEM certificates of trusted signers of content credentials.
    """

    def __init__(self, *, max_pixels: int, seconds: float, megabytes: int, anchors: str | None = None) -> None:
        self.max_pixels = max_pixels
        self.seconds = seconds
        self.megabytes = megabytes
        self.anchors = anchors
        self._context: ForkServerContext | SpawnContext
        if "forkserver" in multiprocessing.get_all_start_methods():
            self._context = multiprocessing.get_context("forkserver")
            self._context.set_forkserver_preload([__name__, "vilaco.cli.main"])  # children start in milliseconds
        else:
            self._context = multiprocessing.get_context("spawn")

    def read(self, file: Path, name: str, choice: Choice = AS_IT_OPENS) -> tuple[Photo, Evidence]:
        """Decode a file and gather what it says about itself.

        Args:
            file: Where it lies.
            name: How results and errors call it.
            choice: What of the file to decode.

        Raises:
            ImageError: As `vilaco.images.load_photo` does, and ``decoder_timeout`` or ``decoder_crash``.
        """
        ours, theirs = self._context.Pipe(duplex=False)
        limits = (self.max_pixels, self.seconds, self.megabytes, self.anchors)
        process = self._context.Process(target=_decode, args=(theirs, str(file), choice, *limits), daemon=True)
        process.start()
        theirs.close()
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self.seconds, stop)
        timer.start()
        try:
            with ours:
                return self._receive(ours, name)
        except (EOFError, OSError, ValidationError) as error:
            if late.is_set():
                reason = f"took longer than {self.seconds:g} s to decode"
                raise ImageError(name, reason, code="decoder_timeout") from None
            raise ImageError(name, "its decoder crashed; the file is damaged", code="decoder_crash") from error
        finally:
            timer.cancel()
            process.kill()
            process.join()
            process.close()

    def _receive(self, pipe: Connection, name: str) -> tuple[Photo, Evidence]:
        header = _Decoded.model_validate_json(pipe.recv_bytes(_MAX_HEADER))
        if header.error is not None:
            raise ImageError(name, header.error, code=header.code)
        if not 0 < header.height * header.width <= self.max_pixels or not 1 <= header.orientation <= 8:
            raise EOFError
        if header.evidence is None:
            raise EOFError
        pixels = np.empty((header.height, header.width, 3), np.uint8)
        pipe.recv_bytes_into(pixels.data.cast("B"))
        if header.rows is not None and not 0 <= header.rows[0] < header.rows[1] <= header.height:
            raise EOFError
        photo = Photo(pixels, header.orientation, name, header.page, header.pages, header.rows, header.notes)
        return photo, header.evidence


def _decode(
    pipe: Connection,
    file: str,
    choice: Choice,
    max_pixels: int,
    seconds: float,
    megabytes: int,
    anchors: str | None,
) -> None:
    """What the child does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    decoder_noise.capture()
    _limit_this_process(seconds, megabytes)
    try:
        photo = load_photo(
            Path(file), max_pixels=max_pixels, page=choice.page, accept_truncated=choice.accept_truncated
        )
        evidence = read_evidence(Path(file), photo, anchors=anchors)
    except ImageError as error:
        pipe.send_bytes(_Decoded(error=error.reason, code=error.code).model_dump_json().encode())
        return
    except MemoryError:
        refusal = _Decoded(error=f"needs more than {megabytes:,} MiB to decode", code="out_of_memory")
        pipe.send_bytes(refusal.model_dump_json().encode())
        return
    height, width = photo.pixels.shape[:2]
    header = _Decoded(
        height=height,
        width=width,
        orientation=photo.orientation,
        page=photo.page,
        pages=photo.pages,
        rows=photo.rows,
        notes=photo.notes,
        evidence=evidence,
    )
    pipe.send_bytes(header.model_dump_json().encode())
    pipe.send_bytes(np.ascontiguousarray(photo.pixels).data.cast("B"))


def _limit_this_process(seconds: float, megabytes: int) -> None:
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    for kind, limit in (
        (resource.RLIMIT_AS, megabytes * MIB),
        (resource.RLIMIT_CPU, max(1, round(seconds))),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
