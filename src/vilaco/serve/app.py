"""The application: routes of the API, and the page."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Annotated, Any

import cv2
import numpy as np
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from vilaco import __version__
from vilaco.images import Photo
from vilaco.localizer import Localizer
from vilaco.report.views import ela_view, noise_view
from vilaco.result import find_regions
from vilaco.serve.entries import ComparisonEntry, Entry, Job, PhotoEntry
from vilaco.serve.forms import PAIR_FORM, PHOTOS_FORM, pair_of, photos_of
from vilaco.serve.gate import Gate
from vilaco.serve.jobs import Jobs, read_map
from vilaco.serve.metrics import Metrics
from vilaco.serve.problems import Problem, ProblemError, declared, install_handlers
from vilaco.serve.sandbox import Choice
from vilaco.serve.settings import ServeSettings
from vilaco.serve.wire import AboutAnswer, HealthAnswer, JobAnswer, RegionsAnswer

_REFUSALS = (400, 401, 403, 408, 413, 415, 421, 422, 503, 507)
_VIEW_REFUSALS = (401, 403, 404, 421, 422, 503)
_HTML = "text/html; charset=utf-8"

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
    _add_comparison_routes(app, jobs)
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
            missed=jobs.judge.missed,
            max_body=settings.max_body,
            max_pixels=settings.max_pixels,
            max_photos=settings.max_photos,
            keep_minutes=settings.keep_minutes,
        )


def _add_photo_routes(app: FastAPI, jobs: Jobs) -> None:
    async def submitted(request: Request, page: Page = None, accept_truncated: AcceptTruncated = False) -> Job:
        async with photos_of(request, jobs.settings.max_photos) as photos:
            return await jobs.submit(photos, Choice(page, accept_truncated))

    Submitted = Annotated[Job, Depends(submitted)]

    @app.post("/v1/detect", responses=declared(*_REFUSALS), openapi_extra=PHOTOS_FORM)
    async def detect(request: Request, job: Submitted) -> JobAnswer:
        """Judge photos and wait for it.

        With several photos, each has its own result or problem. Where none could be judged, the answer is the first
        one's problem.
        """
        await _finished(jobs, job, request)
        return job.answer()

    @app.post("/v1/jobs", status_code=202, responses=declared(*_REFUSALS), openapi_extra=PHOTOS_FORM)
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

        def find(entry: PhotoEntry) -> RegionsAnswer:
            values = read_map(entry)
            return RegionsAnswer(threshold=threshold, regions=find_regions(values > threshold, values))

        return await jobs.view(PhotoEntry, find, photo_id)

    @app.get("/v1/photos/{photo_id}/mask.png", **_file("image/png"))
    async def mask(photo_id: str, threshold: Threshold | None = None) -> Response:
        """The mask: 255 tampered, 0 not; at the photo's own size. With a threshold, all of the map above it."""
        if threshold is None:
            return await _result(jobs, PhotoEntry, photo_id, "mask.png", "image/png")
        return await jobs.view(PhotoEntry, lambda entry: _png(np.uint8(255) * (read_map(entry) > threshold)), photo_id)

    @app.get("/v1/photos/{photo_id}/map.png", **_file("image/png"))
    async def map_(photo_id: str) -> Response:
        """The localization map, 16 bits, 65535 for 1; at the photo's own size."""
        return await _result(jobs, PhotoEntry, photo_id, "map.png", "image/png")

    @app.get("/v1/photos/{photo_id}/overlay.jpg", **_file("image/jpeg"))
    async def overlay(photo_id: str) -> Response:
        """The photo with heat on the mask, which is outlined."""
        return await _result(jobs, PhotoEntry, photo_id, "overlay.jpg", "image/jpeg")

    @app.get("/v1/photos/{photo_id}/report.html", **_file("text/html"))
    async def report(photo_id: str) -> Response:
        """The report of one photo, a file that needs nothing beside it; to be saved, then opened."""
        return await _result(jobs, PhotoEntry, photo_id, "report.html", _HTML)

    async def picture(photo_id: str, draw: Callable[[Photo], np.ndarray]) -> Response:
        def encode(entry: PhotoEntry) -> Response:
            photo, _ = jobs.sandbox.read(entry.upload, entry.name, entry.choice)
            return _rgb_png(draw(photo))

        return await jobs.view(PhotoEntry, encode, photo_id)

    @app.get("/v1/photos/{photo_id}/photo.png", **_file("image/png"))
    async def photo(photo_id: str) -> Response:
        """The photo's pixels as they were judged, upright, for file types that browsers do not show."""
        return await picture(photo_id, _upright)

    @app.get("/v1/photos/{photo_id}/ela.png", **_file("image/png"))
    async def ela(photo_id: str) -> Response:
        """What one more JPEG save changes, made bright, at the photo's own size; takes no part in the verdict."""
        return await picture(photo_id, lambda photo: ela_view(photo, photo.upright_size))

    @app.get("/v1/photos/{photo_id}/noise.png", **_file("image/png"))
    async def noise(photo_id: str) -> Response:
        """How far the noise is from the photo's own, in colours, at the photo's own size; no part in the verdict."""
        return await picture(photo_id, lambda photo: noise_view(photo, photo.upright_size))


def _add_comparison_routes(app: FastAPI, jobs: Jobs) -> None:
    async def submitted(request: Request) -> Job:
        async with pair_of(request) as (suspect, original):
            return await jobs.submit_pair(suspect, original)

    Submitted = Annotated[Job, Depends(submitted)]

    @app.post("/v1/compare", responses=declared(*_REFUSALS), openapi_extra=PAIR_FORM)
    async def compare(request: Request, job: Submitted) -> JobAnswer:
        """Find what of a photo its original does not explain, and wait for it."""
        await _finished(jobs, job, request)
        return job.answer()

    @app.post("/v1/comparisons", status_code=202, responses=declared(*_REFUSALS), openapi_extra=PAIR_FORM)
    async def create_comparison(job: Submitted, response: Response) -> JobAnswer:
        """Hand in a photo and its original, and return at once; ask for the job to see how far it is."""
        response.headers["Location"] = f"/v1/jobs/{job.id}"
        return job.answer()

    async def result(comparison_id: str, name: str, media_type: str) -> Response:
        return await _result(jobs, ComparisonEntry, comparison_id, name, media_type)

    @app.get("/v1/comparisons/{comparison_id}/suspect.png", **_file("image/png"))
    async def suspect(comparison_id: str) -> Response:
        """The suspect's pixels as they were compared, upright."""

        def encode(entry: ComparisonEntry) -> Response:
            return _rgb_png(_upright(jobs.sandbox.read(entry.upload, entry.name)[0]))

        return await jobs.view(ComparisonEntry, encode, comparison_id)

    @app.get("/v1/comparisons/{comparison_id}/explained.jpg", **_file("image/jpeg"))
    async def explained(comparison_id: str) -> Response:
        """The original as the suspect should look, at the suspect's size; 404 where they are not related."""
        return await result(comparison_id, "explained.jpg", "image/jpeg")

    @app.get("/v1/comparisons/{comparison_id}/difference.png", **_file("image/png"))
    async def difference(comparison_id: str) -> Response:
        """What is left between the two, four times as bright."""
        return await result(comparison_id, "difference.png", "image/png")

    @app.get("/v1/comparisons/{comparison_id}/mask.png", **_file("image/png"))
    async def mask(comparison_id: str) -> Response:
        """255 where the suspect is not explained, 0 elsewhere; at the suspect's size."""
        return await result(comparison_id, "mask.png", "image/png")

    @app.get("/v1/comparisons/{comparison_id}/overlay.jpg", **_file("image/jpeg"))
    async def overlay(comparison_id: str) -> Response:
        """The suspect with what is not explained tinted and outlined."""
        return await result(comparison_id, "overlay.jpg", "image/jpeg")

    @app.get("/v1/comparisons/{comparison_id}/report.html", **_file("text/html"))
    async def report(comparison_id: str) -> Response:
        """The report, a file that needs nothing beside it; to be saved, then opened."""
        return await result(comparison_id, "report.html", _HTML)


async def _result(jobs: Jobs, kind: type[Entry], id_: str, name: str, media_type: str) -> Response:
    """One of the files that looking at a photo left; pages are to be saved, not opened."""
    data = await jobs.view(kind, lambda entry: entry.result_file(name).read_bytes(), id_)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'} if media_type == _HTML else None
    return Response(data, headers=headers, media_type=media_type)


async def _finished(jobs: Jobs, job: Job, request: Request) -> None:
    """Wait until a job is done.

    Raises:
        HTTPException: If the client hangs up first; the job is deleted.
        ProblemError: The first one, if nothing of it could be done; likewise.
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


def _upright(photo: Photo) -> np.ndarray:
    return photo.upright(photo.pixels)


def _rgb_png(pixels: np.ndarray) -> Response:
    return _png(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


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
