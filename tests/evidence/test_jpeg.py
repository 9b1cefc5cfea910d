import io

import numpy as np
import pytest
from PIL import Image

from pictures import make_photo
from vilaco.evidence.jpeg import JpegEvidence, estimate_quality, read_jpeg, standard_tables


def saved(**options: object) -> JpegEvidence:
    buffer = io.BytesIO()
    Image.fromarray(make_photo(np.random.default_rng(0))).save(buffer, "JPEG", **options)
    found = read_jpeg(Image.open(buffer))
    assert found is not None
    return found


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 51, 75, 90, 95, 99, 100])
def test_tables_and_quality_are_those_that_libjpeg_writes(quality: int) -> None:
    found = saved(quality=quality)
    assert (found.luma, found.chroma) == standard_tables(quality)
    assert (found.quality, found.standard) == (quality, True)


def test_every_quality_but_the_saturated_ones_is_told_exactly() -> None:
    for quality in range(1, 101):
        estimate, standard = estimate_quality(*standard_tables(quality))
        assert standard
        assert standard_tables(estimate) == standard_tables(quality)


def test_tables_of_its_own_are_near_and_not_standard() -> None:
    luma = [min(255, step + (i % 3)) for i, step in enumerate(standard_tables(80)[0])]
    found = saved(qtables=[luma, list(standard_tables(80)[1])])
    assert not found.standard
    assert abs(found.quality - 80) <= 5


@pytest.mark.parametrize("name", ["4:4:4", "4:2:2", "4:2:0"])
def test_subsampling(name: str) -> None:
    assert saved(subsampling=name).subsampling == name


def test_grey_progressive_and_comment() -> None:
    buffer = io.BytesIO()
    Image.new("L", (20, 20)).save(buffer, "JPEG")
    found = read_jpeg(Image.open(buffer))
    assert found is not None
    assert (found.subsampling, found.chroma) == ("grey", ())
    found = saved(progressive=True, comment=b"hello")
    assert found.progressive
    assert {"JFIF", "comment"} <= set(found.markers)
