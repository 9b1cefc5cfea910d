"""What every request passes first: who may call, how much may come in, and what browsers are told.

A web page elsewhere must not use a service on localhost through its visitor's browser. A name that suddenly points here
(DNS rebinding) fails the check of ``Host``; a form or script of another site fails the check of ``Origin``, which
browsers send and pages cannot forge; and no answer carries CORS headers. See the Fetch standard,
https://fetch.spec.whatwg.org/#origin-header.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vilaco.serve.metrics import Metrics
from vilaco.serve.problems import ProblemError
from vilaco.serve.settings import ServeSettings, is_loopback

_GUARDED = ("/v1/", "/metrics")  # the page, the API's description and /healthz, which hold no data, are open
_METHODS = ("GET", "HEAD", "POST", "DELETE")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Gate:
    """ASGI middleware around the whole application.

    Args:
        app: What is behind it.
        settings: Limits, token and names.
        metrics: Counts every request.
        is_full: Whether no more photos can be taken, asked before a body is read.
    """

    def __init__(self, app: ASGIApp, *, settings: ServeSettings, metrics: Metrics, is_full: Callable[[], bool]) -> None:
        self.app = app
        self.settings = settings
        self.metrics = metrics
        self.is_full = is_full
        self.uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, count, pass on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store" if scope["path"].startswith("/v1/") else "no-cache")
            await send(message)

        try:
            await self._admit(scope, receive, send_with_headers)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self.metrics.requests.labels(route, method, str(status)).inc()
            self.metrics.request_seconds.labels(route).observe(time.perf_counter() - started)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, headers = _Body(receive, self.settings), Headers(scope=scope)
        try:
            self._check_caller(scope, headers)
            if scope["method"] == "POST":
                body.check_announced(headers)
                if self.is_full():
                    raise ProblemError(503, "queue_full", "all places in the queue are taken")
                if self.uploads >= self.settings.max_uploads:
                    raise ProblemError(503, "too_many_uploads", "too many uploads at once")
        except ProblemError as error:
            if "expect" not in headers:  # who asks first has sent nothing yet
                await body.discard()
            response = error.response()
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        if scope["method"] == "POST":
            self.uploads += 1
            body.on_end = self._body_ended
        try:
            await self.app(scope, body.receive, send)
        finally:
            body.end()

    def _body_ended(self) -> None:
        self.uploads -= 1

    def _check_caller(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host", "")
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            name = ""
        open_to_all_names = self.settings.token is not None and not self.settings.allowed_hosts
        if not (is_loopback(name) or name in self.settings.allowed_hosts or (open_to_all_names and name)):
            raise ProblemError(421, "wrong_host", f"not reached by the name {host[:200]!r}; see --allowed-host")
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD") and origin is not None and not _is_origin_of(origin, host):
            raise ProblemError(403, "wrong_origin", "pages of other sites may not use this service")
        if headers.get("sec-fetch-site") == "cross-site" and scope["path"].startswith(_GUARDED):
            raise ProblemError(403, "wrong_origin", "pages of other sites may not use this service")
        if self.settings.token is not None and scope["path"].startswith(_GUARDED):
            kind, _, shown = headers.get("authorization", "").partition(" ")
            expected = self.settings.token.get_secret_value().encode()
            if kind.lower() != "bearer" or not secrets.compare_digest(shown.strip().encode(), expected):
                raise ProblemError(401, "token_needed", "a valid token is needed: Authorization: Bearer TOKEN")


class _Body:
    """A request's body, which has to stay small and to arrive in time."""

    def __init__(self, receive: Receive, settings: ServeSettings) -> None:
        self._receive = receive
        self._settings = settings
        self._size = 0
        self._complete = False
        self._until = time.monotonic() + settings.upload_seconds
        self.on_end: Callable[[], None] | None = None

    def check_announced(self, headers: Headers) -> None:
        announced = headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > self._settings.max_body:
            raise self._too_large()

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        message = await self._next()
        if self._size > self._settings.max_body:
            await self.discard()
            raise self._too_large()
        return message

    async def discard(self) -> None:
        """Read on for a while, so that a client that is still sending gets to read the answer."""
        try:
            while not self._complete and self._size <= 2 * self._settings.max_body:
                await self._next()
        except ProblemError:  # too slow; the answer goes out all the same
            return

    def end(self) -> None:
        """The body is no longer read."""
        if self.on_end is not None:
            self.on_end()
            self.on_end = None

    async def _next(self) -> Message:
        try:
            message = await asyncio.wait_for(self._receive(), self._until - time.monotonic())
        except TimeoutError:
            seconds = self._settings.upload_seconds
            raise ProblemError(408, "upload_too_slow", f"the request took longer than {seconds:g} s") from None
        self._size += len(message.get("body", b""))
        if not message.get("more_body", False):
            self._complete = True
            self.end()
        return message

    def _too_large(self) -> ProblemError:
        return ProblemError(413, "body_too_large", f"a request may have {self._settings.max_body_mb:g} MiB")


def _is_origin_of(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False
