"""Judged photos that tests make for themselves, without a model."""

import io

import numpy as np
from PIL import Image

from pictures import make_photo
from vilaco.calibration import RegionThresholds
from vilaco.images import load_photo
from vilaco.report import Case, Judge
from vilaco.result import Result

JUDGE = Judge(
    name="test",
    fingerprint="ab" * 32,
    encoder="tiny",
    max_false_alarms=0.05,
    missed=0.2,
    calibration_pictures=1234,
)
EVIL = "<script>alert(1)</script>"


def make_jpeg(height: int = 72, width: int = 96, **exif: str) -> bytes:
    block = Image.Exif()
    block.update({{"Software": 0x0131, "ImageDescription": 0x010E}[name]: value for name, value in exif.items()})
    buffer = io.BytesIO()
    Image.fromarray(make_photo(np.random.default_rng(0), height, width)).save(buffer, "JPEG", exif=block)
    return buffer.getvalue()


def make_case(
    data: bytes | None = None,
    *,
    score: float = 0.9,
    name: str = "photo.jpg",
    judge: Judge = JUDGE,
    spot: float = 0.8,
    regions: RegionThresholds | None = None,
) -> Case:
    data = make_jpeg() if data is None else data
    photo = load_photo(data)
    values = np.zeros(photo.upright_size, np.float32)
    values[: len(values) // 2, : values.shape[1] // 4] = spot
    thresholds = {"decision_threshold": 0.8, "authentic_threshold": 0.3}
    result = Result.from_map(
        photo, values, score, model="test@abab", seconds=0.5, region_thresholds=regions, **thresholds
    )
    return Case.build(photo, result, judge, source=data, name=name)
