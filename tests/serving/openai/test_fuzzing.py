"""The published document of the routes, tried with what fits it and with what does not."""

from __future__ import annotations

from unittest.mock import Mock

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks

from serving.openai.app import make_app
from serving.openai.metrics import Metrics
from tests.serving.openai.serving_world import Served

schema = schemathesis.openapi.from_dict(make_app(Mock(), Metrics()).openapi())
CHECKS = [checks.not_a_server_error, checks.status_code_conformance, checks.content_type_conformance]


@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
def test_no_request_breaks_the_server(case: schemathesis.Case, server: Served) -> None:
    answer = case.call(base_url=server.address, timeout=120)
    case.validate_response(answer, checks=CHECKS)
