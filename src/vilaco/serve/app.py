"""The application: routes of the API, and the page."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Annotated, Any, BinaryIO

import cv2
import numpy as np
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from vilaco import __version__
from vilaco.images import Photo
from vilaco.localizer import Localizer
from vilaco.report.views import ela_view, noise_view
from vilaco.result import find_regions
from vilaco.serve.gate import Gate
from vilaco.serve.jobs import Entry, Job, Jobs, disk_problem, read_map
from vilaco.serve.metrics import Metrics
from vilaco.serve.problems import Problem, ProblemError, declared, install_handlers
from vilaco.serve.sandbox import Choice
from vilaco.serve.settings import ServeSettings
from vilaco.serve.wire import AboutAnswer, HealthAnswer, JobAnswer, RegionsAnswer

_PHOTOS_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["photos"],
                    "additionalProperties": False,
                    "properties": {
                        "photos": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "Image files, one part each.",
                        }
                    },
                }
            }
        },
    }
}
_REFUSALS = (400, 401, 403, 408, 413, 415, 421, 422, 503, 507)
_VIEW_REFUSALS = (401, 403, 404, 421, 422, 503)

Threshold = Annotated[float, Query(ge=0, le=1, description="Map values above this count as tampered.")]

Page = Annotated[
    int | None,
    Query(
        ge=1, le=1_000_000, description="Which picture of a file that holds several; the one it opens with if left out."
    ),
]
AcceptTruncated = Annotated[bool, Query(description="Judge the rows that are there of files that end too early.")]


def create_app(localizer: Localizer, settings: ServeSettings | None = None) -> Gate:
    """The whole service as an ASGI application.

    Args:
        localizer: Judges the photos.
        settings: Limits, token and names.
    """
    settings = settings or ServeSettings()
    metrics = Metrics()
    jobs = Jobs(localizer, settings, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with jobs.running():
            yield

    app = FastAPI(
        title="vilaco",
        summary="Finds forged regions in photos.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    install_handlers(app)
    _add_service_routes(app, jobs)
    _add_photo_routes(app, jobs)
    _describe(app, with_token=settings.token is not None)
    app.mount("/", StaticFiles(directory=str(files("vilaco.serve") / "page"), html=True))
    return Gate(app, settings=settings, metrics=metrics, is_full=jobs.is_full)


def _add_service_routes(app: FastAPI, jobs: Jobs) -> None:
    settings, localizer = jobs.settings, jobs.localizer

    @app.get("/healthz", responses=declared(421, 503))
    async def health() -> HealthAnswer:
        """Say whether photos can be judged."""
        if not jobs.is_alive:
            raise ProblemError(503, "not_running", "no photos are being judged; restart the service")
        return HealthAnswer()

    @app.get("/metrics", responses=declared(401, 403, 421), response_class=Response)
    async def metrics() -> Response:
        """Counters in Prometheus' text format."""
        return Response(jobs.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/about", responses=declared(401, 403, 421))
    async def about() -> AboutAnswer:
        """Say which model judges, what it promises, and what is taken."""
        return AboutAnswer(
            version=__version__,
            model=f"{localizer.name}@{localizer.fingerprint[:12]}",
            max_false_alarms=jobs.judge.max_false_alarms,
            max_misses=jobs.judge.max_misses,
            max_body=settings.max_body,
            max_pixels=settings.max_pixels,
            max_photos=settings.max_photos,
            keep_minutes=settings.keep_minutes,
        )


def _add_photo_routes(app: FastAPI, jobs: Jobs) -> None:
    async def submitted(request: Request, page: Page = None, accept_truncated: AcceptTruncated = False) -> Job:
        async with _photos(request, jobs.settings.max_photos) as photos:
            return await jobs.submit(photos, Choice(page, accept_truncated))

    Submitted = Annotated[Job, Depends(submitted)]

    @app.post("/v1/detect", responses=declared(*_REFUSALS), openapi_extra=_PHOTOS_FORM)
    async def detect(request: Request, job: Submitted) -> JobAnswer:
        """Judge photos and wait for it.

        With several photos, each has its own result or problem. Where none could be judged, the answer is the first
        one's problem.
        """
        try:
            await _finished_or_gone(job, request)
        except BaseException:
            jobs.delete(job)
            raise
        problems = [entry.problem for entry in job.entries if entry.problem is not None]
        if len(problems) == len(job.entries):
            jobs.delete(job)
            first = problems[0]
            raise ProblemError(first.status, first.code, first.detail, photo=first.photo)
        return job.answer()

    @app.post("/v1/jobs", status_code=202, responses=declared(*_REFUSALS), openapi_extra=_PHOTOS_FORM)
    async def create_job(job: Submitted, response: Response) -> JobAnswer:
        """Hand in photos and return at once; ask for the job to see how far it is."""
        response.headers["Location"] = f"/v1/jobs/{job.id}"
        return job.answer()

    @app.get("/v1/jobs/{job_id}", responses=declared(401, 403, 404, 421, 422))
    async def get_job(job_id: str) -> JobAnswer:
        """How far a job is, and the results so far."""
        return jobs.job(job_id).answer()

    @app.delete("/v1/jobs/{job_id}", status_code=204, responses=declared(401, 403, 404, 421, 422))
    async def delete_job(job_id: str) -> None:
        """Delete photos and results now; what is not judged yet will not be."""
        jobs.delete(jobs.job(job_id))

    @app.get("/v1/photos/{photo_id}/regions", responses=declared(*_VIEW_REFUSALS))
    async def regions(photo_id: str, threshold: Threshold = 0.5) -> RegionsAnswer:
        """Regions at a threshold of your choice."""

        def find(entry: Entry) -> RegionsAnswer:
            values = read_map(entry)
            return RegionsAnswer(threshold=threshold, regions=find_regions(values > threshold, values))

        return await jobs.view(find, photo_id)

    @app.get("/v1/photos/{photo_id}/mask.png", **_file("image/png"))
    async def mask(photo_id: str, threshold: Threshold = 0.5) -> Response:
        """The mask at a threshold of your choice: 255 tampered, 0 not; at the photo's own size."""
        return await jobs.view(lambda entry: _png(np.uint8(255) * (read_map(entry) > threshold)), photo_id)

    @app.get("/v1/photos/{photo_id}/map.png", **_file("image/png"))
    async def map_(photo_id: str) -> Response:
        """The localization map, 16 bits, 65535 for 1; at the photo's own size."""
        return Response(
            await jobs.view(lambda entry: entry.result_file("map.png").read_bytes(), photo_id), media_type="image/png"
        )

    @app.get("/v1/photos/{photo_id}/overlay.jpg", **_file("image/jpeg"))
    async def overlay(photo_id: str) -> Response:
        """The photo with heat where the map is high and the mask outlined."""
        return Response(
            await jobs.view(lambda entry: entry.result_file("overlay.jpg").read_bytes(), photo_id),
            media_type="image/jpeg",
        )

    @app.get("/v1/photos/{photo_id}/report.html", **_file("text/html"))
    async def report(photo_id: str) -> Response:
        """The report of one photo, a file that needs nothing beside it; to be saved, then opened."""
        page = await jobs.view(lambda entry: entry.result_file("report.html").read_bytes(), photo_id)
        headers = {"Content-Disposition": 'attachment; filename="report.html"'}
        return Response(page, headers=headers, media_type="text/html; charset=utf-8")

    async def picture(photo_id: str, draw: Callable[[Photo], np.ndarray]) -> Response:
        def encode(entry: Entry) -> Response:
            photo, _ = jobs.sandbox.read(entry.upload, entry.name, entry.choice)
            return _png(cv2.cvtColor(draw(photo), cv2.COLOR_RGB2BGR))

        return await jobs.view(encode, photo_id)

    @app.get("/v1/photos/{photo_id}/photo.png", **_file("image/png"))
    async def photo(photo_id: str) -> Response:
        """The photo's pixels as they were judged, upright, for file types that browsers do not show."""
        return await picture(photo_id, lambda photo: photo.upright(photo.pixels))

    @app.get("/v1/photos/{photo_id}/ela.png", **_file("image/png"))
    async def ela(photo_id: str) -> Response:
        """What one more JPEG save changes, made bright, at the photo's own size; takes no part in the verdict."""
        return await picture(photo_id, lambda photo: ela_view(photo, photo.upright_size))

    @app.get("/v1/photos/{photo_id}/noise.png", **_file("image/png"))
    async def noise(photo_id: str) -> Response:
        """How far the noise is from the photo's own, in colours, at the photo's own size; no part in the verdict."""
        return await picture(photo_id, lambda photo: noise_view(photo, photo.upright_size))


@asynccontextmanager
async def _photos(request: Request, most: int) -> AsyncIterator[list[tuple[str, BinaryIO]]]:
    """Name and content of each file of a form; larger ones lie in nameless temporary files meanwhile.

    Raises:
        ProblemError: If the form is not one of photos.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise ProblemError(415, "not_a_form", "send the photos as multipart/form-data, in parts called photos")
    try:
        async with request.form(max_files=most + 1, max_fields=1) as form:
            parts = form.multi_items()
            if any(name != "photos" or not isinstance(part, UploadFile) for name, part in parts):
                raise ProblemError(422, "not_a_file", "every part of the form has to be a file, and be called photos")
            uploads = [(part.filename or "photo", part.file) for _, part in parts if isinstance(part, UploadFile)]
            if not uploads:
                raise ProblemError(422, "no_photos", "the form holds no photo")
            if len(uploads) > most:
                raise ProblemError(413, "too_many_photos", f"a request may have {most} photos")
            yield uploads
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_problem(error) from error
        raise


async def _finished_or_gone(job: Job, request: Request) -> None:
    """Wait until all photos are judged.

    Raises:
        HTTPException: If the client hangs up first; nobody reads the answer.
    """
    finished = asyncio.create_task(job.finished.wait())
    gone = asyncio.create_task(_hung_up(request))
    try:
        await asyncio.wait({finished, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        finished.cancel()
        gone.cancel()
    if not job.finished.is_set():
        raise HTTPException(400, "the client hung up")


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _png(pixels: np.ndarray) -> Response:
    """Fast rather than small: most of these go no further than the same machine."""
    data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    return Response(data, media_type="image/png")


def _file(media_type: str) -> dict[str, Any]:
    """What a route that answers with a file says about itself."""
    content = {"content": {media_type: {"schema": {"type": "string", "format": "binary"}}}}
    return {"response_class": Response, "responses": {200: content, **declared(*_VIEW_REFUSALS)}}


def _describe(app: FastAPI, *, with_token: bool) -> None:
    """OpenAPI with our own shape of problems, and the token where one is needed."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            components = schema.setdefault("components", {})
            schemas = components.setdefault("schemas", {})
            models = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas["Problem"] = models
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            if with_token:
                components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                schema["security"] = [{"token": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]
