"""What the tests of the service share."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from browsing import Visit
from serving import served
from vilaco.localizer import Localizer


@pytest.fixture(scope="package")
def localizer() -> Localizer:
    return Localizer.load()


@pytest.fixture(scope="package")
def client(localizer: Localizer) -> Iterator[httpx2.Client]:
    """Of a service with its default settings, except that small things are large."""
    with served(localizer, max_body_mb=2, max_megapixels=2, max_photos=4) as client:
        yield client


@pytest.fixture
def visit(browser: Any, client: httpx2.Client) -> Iterator[Visit]:
    visit = Visit(browser, str(client.base_url))
    yield visit
    visit.context.close()
    assert visit.complaints == []
