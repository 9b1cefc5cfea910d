"""Scan a collection: list it, judge what is not done yet, keep every row, and sum up."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, ValidationError

from vilaco.errors import ConfigError, DataError, ImageError
from vilaco.evidence import credentials
from vilaco.files import write_atomically
from vilaco.images import ALL_PAGES, MAX_PIXELS, PageChoice, encode_jpeg, load_photo, resize_pixels
from vilaco.localizer import Localizer
from vilaco.scan.engine import Engine, start_engine
from vilaco.scan.judge import Judge, ScanRow, ScanSettings, TrustAnchors, fit
from vilaco.scan.pool import TIME_LIMIT
from vilaco.scan.sources import Item, is_url, list_items, local_folder, read_bytes
from vilaco.scan.store import PART_ROWS, SUMMARY, Store, read_rows
from vilaco.scan.summary import Picture, summary_page
from vilaco.weights import DEFAULT, shipped_models


class ScanReport(BaseModel):
    """How a scan stands.

    Attributes:
        out: Its folder.
        images: In the source, or done before; pages, where each has a row.
        done: Of these.
        verdicts: How often each was said.
        noted: How many have notes: they are blank, or were judged otherwise than their file stores them.
        failures: Images that could not be judged, by error code.
        interrupted: Whether Ctrl-C ended it; the same call goes on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: Path
    images: int
    done: int
    verdicts: dict[str, int]
    noted: int
    failures: dict[str, int]
    interrupted: bool


def scan(
    source: str | Path,
    out: str | Path,
    *,
    model: str | Path = DEFAULT,
    max_false_alarms: float | None = None,
    keep_above: float | None = None,
    max_pixels: int = MAX_PIXELS,
    accept_truncated: bool = False,
    page: PageChoice = None,
    trust_anchors: Path | None = None,
    engine: Engine = "local",
    workers: int | None = None,
    address: str | None = None,
    time_limit: float = TIME_LIMIT,
    part_rows: int = PART_ROWS,
    retry_failed: bool = False,
    tell: Callable[[int, int, ScanRow | None], None] = lambda done, images, row: None,
) -> ScanReport:
    """Judge every image of a collection once; what a scan into the same folder has done before is not done again.

    Args:
        source: See :func:`vilaco.scan.sources.list_items`.
        out: Folder of the results; its files: :mod:`vilaco.scan.store`.
        model: See :meth:`vilaco.localizer.Localizer.load`.
        max_false_alarms: Likewise.
        keep_above: Masks and overlays of images that score above it are kept, in [0, 1]; of those called tampered if
            ``None``.
        max_pixels: Larger photos are refused.
        accept_truncated: Whether the rows that are there of files that end too early are judged.
        page: Which picture of files that hold several, from 1; the one that the file opens with if ``None``. With
            :data:`~vilaco.images.ALL_PAGES` each has a row; all first ones are looked at before any other.
        trust_anchors: See :func:`vilaco.evidence.credentials.trust_anchors`.
        engine: ``"local"``, processes of this machine, or ``"ray"``, those of a Ray cluster.
        workers: How many images are judged at a time, each on one thread; one a core if ``None``.
        address: Of the Ray cluster; ``None`` starts one on this machine.
        time_limit: Seconds an image may take.
        part_rows: Rows of one Parquet file.
        retry_failed: Look again at images that could not be judged before; forget those of them that are gone.
        tell: Called as ``tell(done, images, row)`` when the work begins (``row`` is ``None``) and for each row.

    Raises:
        ConfigError: If ``out`` holds a scan with other settings, or a setting is wrong.
        DataError: If the source or ``out`` is not usable.
        ModelError: If the model cannot be loaded.
        VilacoError: If results cannot be written; the same call goes on once they can.
    """
    out = Path(out)
    place = str(source) if is_url(str(source)) else os.path.abspath(source)
    if (folder := local_folder(place)) and out.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{out}: lies inside {place}; what a scan writes must not be scanned")
    first_page = 1 if page == ALL_PAGES else page
    items = {item.path: item._replace(page=first_page) for item in list_items(place)}
    anchors = credentials.trust_anchors(trust_anchors)
    settings = _settings(
        model,
        max_false_alarms,
        keep_above,
        source=place,
        max_pixels=max_pixels,
        accept_truncated=accept_truncated,
        page=page,
        trust_anchors=None if anchors is None else TrustAnchors(anchors),
    )
    with Store(out, settings, part_rows=part_rows) as store:
        if retry_failed:
            store.forget_failures()
        images, interrupted = len(items), False
        try:
            for wave, waiting in enumerate(_waves(store, items, page)):
                images = len(store.done) + len(waiting)
                if wave == 0:
                    tell(len(store.done), images, None)
                if not waiting:
                    continue
                with start_engine(
                    engine,
                    Judge,
                    settings,
                    items=len(waiting),
                    workers=workers,
                    address=address,
                    time_limit=time_limit,
                ) as pool:
                    for judged in pool.work(waiting):
                        row = store.add(judged)
                        tell(len(store.done), images, row)
        except KeyboardInterrupt:
            interrupted = True
        store.flush()
        if not interrupted:
            look = _Pictures(items, settings, workers, time_limit)
            summary = summary_page(out, settings, overlays=look.overlays, thumbnail=look.thumbnail)
            write_atomically(out / SUMMARY, summary.encode())
    rows = read_rows(out, "verdict", "notes", "error_code")
    return ScanReport(
        out=out,
        images=images,
        done=len(rows),
        verdicts=_counts(rows["verdict"].to_pylist()),
        noted=sum(map(bool, rows["notes"].to_pylist())),
        failures=_counts(rows["error_code"].to_pylist()),
        interrupted=interrupted,
    )


def _waves(store: Store, items: dict[str, Item], page: PageChoice) -> Iterator[list[Item]]:
    """What is not done: one picture of each file; then, where all are wanted, those that the rows of these tell of."""
    yield [item for item in items.values() if not store.is_done(item)]
    if page == ALL_PAGES:
        store.flush()
        rows = read_rows(store.folder, "path", "page", "pages")
        several = rows.filter((pc.field("page") == 1) & (pc.field("pages") > 1)).to_pylist()
        further = (
            items[row["path"]]._replace(page=number)
            for row in several
            if row["path"] in items
            for number in range(2, row["pages"] + 1)
        )
        yield [item for item in further if not store.is_done(item)]


def _settings(
    model: str | Path, max_false_alarms: float | None, keep_above: float | None, **others: Any
) -> ScanSettings:
    localizer = Localizer.load(model, max_false_alarms=max_false_alarms)
    promised = None if localizer.calibration is None else localizer.calibration.max_false_alarms
    shipped = str(model) in {each.name for each in shipped_models()}
    name = os.path.abspath(model) if os.path.isdir(model) and not shipped else str(model)
    try:
        return ScanSettings(
            model=name,
            model_fingerprint=localizer.fingerprint,
            decision_threshold=localizer.thresholds.decision,
            authentic_threshold=localizer.thresholds.authentic,
            max_false_alarms=promised if max_false_alarms is None else max_false_alarms,
            keep_above=localizer.thresholds.decision if keep_above is None else keep_above,
            **others,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{first['loc'][0]}: {first['msg']}") from None


def _counts(values: list[str | None]) -> dict[str, int]:
    return dict(Counter(value for value in values if value is not None).most_common())


class _Pictures:
    """What the summary shows of images, looked at again where nothing was kept."""

    def __init__(self, items: dict[str, Item], settings: ScanSettings, workers: int | None, time_limit: float) -> None:
        self._items = items
        self._settings = settings
        self._workers = workers
        self._time_limit = time_limit

    def overlays(self, pictures: Sequence[Picture]) -> dict[Picture, bytes]:
        """Overlays of images, as JPEG; without those that have gone."""
        items = [self._items[path]._replace(page=page) for path, page in pictures if path in self._items]
        if not items:
            return {}
        settings = self._settings.model_copy(update={"keep_above": 0.0})
        with start_engine(
            "local",
            Judge,
            settings,
            items=len(items),
            workers=self._workers,
            address=None,
            time_limit=self._time_limit,
        ) as pool:
            made = ((each.row, each.overlay) for each in pool.work(items))
            return {(row.path, row.page or 1): overlay for row, overlay in made if overlay is not None}

    def thumbnail(self, picture: Picture) -> bytes | None:
        """An image, small, as JPEG; ``None`` where it has gone."""
        path, page = picture
        if path not in self._items:
            return None
        settings = self._settings
        try:
            data = read_bytes(self._items[path], max_bytes=settings.max_bytes)
            photo = load_photo(
                data, max_pixels=settings.max_pixels, page=page, accept_truncated=settings.accept_truncated
            )
        except ImageError:
            return None
        return encode_jpeg(resize_pixels(photo.upright(photo.pixels), fit(photo.upright_size, 160)), 80)
