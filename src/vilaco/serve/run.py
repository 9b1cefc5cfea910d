"""Listen, serve until asked to stop, and stop in good order."""

import logging
import os
import socket
from collections.abc import Callable

import uvicorn

from vilaco.errors import ConfigError
from vilaco.serve.gate import Gate
from vilaco.serve.settings import ServeSettings

_GRACE_SECONDS = 30
"""How long requests in progress may take once the service was asked to stop."""


def listen(settings: ServeSettings) -> socket.socket:
    """Take the address before anything else is done.

    Raises:
        ConfigError: If it is taken or not of this machine.
    """
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((settings.host, settings.port), family=family, backlog=128)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
        raise ConfigError(f"cannot listen on {settings.host}, port {settings.port} ({reason})") from None


def serve(app: Gate, listening: socket.socket, *, ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; requests in progress are answered first, for up to half a minute.

    Args:
        app: From `vilaco.serve.app.create_app`.
        listening: From `listen`.
        ready: Called with the page's address once requests are answered.
    """
    host, port = listening.getsockname()[:2]
    address = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", level=logging.WARNING)
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = _Server(config, lambda: ready(address))
    server.run(sockets=[listening])


class _Server(uvicorn.Server):
    """A server that says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()
