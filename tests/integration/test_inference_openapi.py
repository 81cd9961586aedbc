"""The OpenAPI document is the truth: whatever Schemathesis makes of it, the answers are as it says."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.integration.inference_service import Service

_CHECKS: Final = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]
_EXAMPLES: Final = 15
_PRINCIPALS: Final = (None, "machines", "reviewer", "approver", "operator")


def breach(service: Service, operation: Any, mode: GenerationMode) -> str | None:
    """How the answers of an operation are not as the document says."""
    # A query may have more than is asked for; a body may not.
    checks = [*_CHECKS, negative_data_rejection] if operation.body else _CHECKS

    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), principal=st.sampled_from(_PRINCIPALS))
    def answer(case: Any, principal: str | None) -> None:
        headers = {} if principal is None else service.process.headers(principal)
        case.call_and_validate(base_url=service.process.http_url, headers=headers, checks=checks, timeout=20)

    try:
        with contextlib.suppress(Unsatisfiable):  # there is nothing to do wrong
            answer()
    except (FailureGroup, Failure) as error:
        return f"{operation.label}, {mode.name}:\n{error}"
    return None


def test_every_answer_is_as_the_document_says(service: Service) -> None:
    document = service.client.get("/openapi.json").json()
    for path in document["paths"].values():
        for described in path.values():
            described.pop("security", None)  # tokens are the test's own, wrong ones included
    schema = schemathesis.openapi.from_dict(document)
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert {"/predict", "/predict/batch", "/model/info", "/reload"} <= {one.path for one in operations}
    before = service.recorded()
    breaches = [
        breach(service, operation, mode)
        for operation in operations
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    ]
    assert not any(breaches), "\n\n".join(filter(None, breaches))
    assert service.recorded() == before, "none of it is about a sensor that is known"
    assert service.client.get("/health").status_code == 200
