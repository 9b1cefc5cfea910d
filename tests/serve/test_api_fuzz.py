"""The API keeps what its OpenAPI description says, whatever is sent; ``benchmarks/serve_fuzz.py`` asks for longer."""

from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings

schemathesis = pytest.importorskip("schemathesis", reason="the fuzz test needs schemathesis")


@pytest.mark.filterwarnings("ignore")
def test_every_answer_is_as_described(client: httpx2.Client) -> None:
    from schemathesis.specs.openapi.checks import positive_data_acceptance  # no schema can ask for a whole image

    schema = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")
    asked = []
    for operation in schema.get_all_operations():
        described = operation.ok()

        @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=described.as_strategy())
        def check(case: Any) -> None:
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        check()
        asked.append(described.label)
    assert "POST /v1/detect" in asked
    assert "POST /v1/compare" in asked
    assert len(asked) == 23
