"""Everything that can go wrong, as one JSON shape: RFC 9457, "Problem Details for HTTP APIs", with our error codes."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5
"""What ``Retry-After`` says where the service is full."""


class Problem(BaseModel):
    """What went wrong.

    Attributes:
        type: A URN made of the code.
        title: The HTTP status in words.
        status: The HTTP status.
        detail: What is wrong with this request, in one line.
        code: A short word for machines, e.g. ``"too_many_pixels"``; those of `ImageError` among them.
        photo: Name of the photo in question, as the caller gave it.
    """

    model_config = ConfigDict(frozen=True)

    type: str
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    code: str
    photo: str | None = None


class ProblemError(Exception):
    """Ends a request with a `Problem`.

    Args:
        status: HTTP status.
        code: A short word for machines.
        detail: One line.
        photo: Name of the photo in question.
    """

    def __init__(self, status: int, code: str, detail: str, *, photo: str | None = None) -> None:
        super().__init__(detail)
        self.problem = problem(status, code, detail, photo=photo)
        self.headers = {"Retry-After": str(RETRY_SECONDS)} if status in (503, 507) else {}
        if status == HTTPStatus.UNAUTHORIZED:
            self.headers["WWW-Authenticate"] = "Bearer"

    def response(self) -> JSONResponse:
        """As an HTTP response."""
        body = self.problem.model_dump(exclude_none=True)
        return JSONResponse(body, self.problem.status, self.headers, media_type=MEDIA_TYPE)


def problem(status: int, code: str, detail: str, *, photo: str | None = None) -> Problem:
    """A `Problem` with type and title filled in.

    Example:
        >>> problem(404, "no_such_job", "gone").title
        'Not Found'
    """
    title = HTTPStatus(status).phrase
    return Problem(type=f"urn:vilaco:{code}", title=title, status=status, detail=detail, code=code, photo=photo)


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's ``responses`` for routes that may answer with problems."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def install_handlers(app: FastAPI) -> None:
    """Make every error of ``app`` a `Problem`."""

    @app.exception_handler(ProblemError)
    async def _ours(request: Request, error: ProblemError) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return ProblemError(422, "invalid_request", f"{place}: {first['msg']}").response()

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        methods = _methods(app, request)
        if error.status_code in (404, 405) and methods and request.method not in methods:
            error = HTTPException(405, headers={"Allow": ", ".join(sorted(methods))})
        code = HTTPStatus(error.status_code).name.lower()
        answer = ProblemError(error.status_code, code, str(error.detail))
        answer.headers.update(error.headers or {})
        return answer.response()

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:
        return ProblemError(500, "internal_error", "an error on our side; the log of the service has it").response()


def _methods(app: FastAPI, request: Request) -> set[str]:
    """Methods of all routes for a path: what refuses it may be one of several, or the page's files, which know none."""
    routes = [route for route in app.routes if isinstance(route, Route)]
    return {
        method
        for route in routes
        if route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }


def log_unexpected(what: str) -> None:
    """Write the exception being handled to the service's log."""
    logging.getLogger("vilaco.serve").exception(what)
