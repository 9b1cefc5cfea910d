"""A real server on a real socket, in a thread of the test's process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import httpx2
import numpy as np
import uvicorn

from pictures import make_photo
from vilaco.localizer import Localizer
from vilaco.serve.app import create_app
from vilaco.serve.run import listen
from vilaco.serve.settings import make_settings

TOKEN = "a-token-for-the-tests"


@contextmanager
def served(localizer: Localizer, **settings: object) -> Iterator[httpx2.Client]:
    """A client of a running service; ``base_url`` says where it is."""
    made = make_settings(port=0, **settings)
    with listen(made) as listening:
        config = uvicorn.Config(create_app(localizer, made), log_config=None, timeout_graceful_shutdown=20)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            port = listening.getsockname()[1]
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=90) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


def photo_bytes(seed: int = 0, height: int = 72, width: int = 96, ending: str = ".jpg") -> bytes:
    """An image file."""
    return cv2.imencode(ending, make_photo(np.random.default_rng(seed), height, width))[1].tobytes()


def as_form(*photos: bytes, name: str = "photo.jpg") -> list[tuple[str, tuple[str, bytes]]]:
    """The files of a form."""
    return [("photos", (name, photo)) for photo in photos]
