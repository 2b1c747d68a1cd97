"""Entra's refusals become our errors: one case per row of Entra's documented table."""

import json

import pytest

from shared.adapters.entra_errors import MEANINGS, entra_error, read_refusal
from shared.errors import (
    CalendarRefused,
    CalendarThrottled,
    CalendarUnavailable,
    ConsentMissing,
    Misconfigured,
    NotAuthenticated,
    SchedulingError,
    SignInAgain,
)
from tests.graph_contract import graph_sample

ROWS: list[tuple[str, int, type[SchedulingError]]] = [
    ("invalid_grant", 65001, ConsentMissing),
    ("access_denied", 65004, ConsentMissing),
    ("invalid_grant", 90094, ConsentMissing),
    ("invalid_grant", 90095, ConsentMissing),
    ("invalid_grant", 50105, ConsentMissing),
    ("invalid_resource", 500011, ConsentMissing),
    ("unauthorized_client", 700016, ConsentMissing),
    ("unauthorized_client", 7000112, ConsentMissing),
    ("invalid_request", 90002, ConsentMissing),
    ("invalid_client", 7000215, Misconfigured),
    ("invalid_client", 7000222, Misconfigured),
    ("invalid_client", 7000218, Misconfigured),
    ("invalid_client", 700027, Misconfigured),
    ("invalid_client", 70021, Misconfigured),
    ("unauthorized_client", 700213, Misconfigured),
    ("invalid_client", 700229, Misconfigured),
    ("invalid_grant", 50013, NotAuthenticated),
    ("invalid_grant", 500133, NotAuthenticated),
    ("invalid_grant", 7000114, Misconfigured),
    ("invalid_grant", 50020, NotAuthenticated),
    ("invalid_grant", 50173, SignInAgain),
    ("invalid_grant", 70043, SignInAgain),
    ("interaction_required", 50079, SignInAgain),
    ("interaction_required", 50076, SignInAgain),
    ("interaction_required", 50074, SignInAgain),
    ("interaction_required", 50158, SignInAgain),
    ("access_denied", 53003, ConsentMissing),
    ("invalid_grant", 650056, Misconfigured),
    ("invalid_grant", 650057, Misconfigured),
]


def body(error: str, number: int | None, **more: object) -> bytes:
    codes = {"error_codes": [number]} if number else {}
    payload = {"error": error, "trace_id": "t-1", "correlation_id": "c-1"} | codes | more
    return json.dumps(payload).encode()


@pytest.mark.parametrize(("error", "number", "kind"), ROWS, ids=str)
def test_each_number_names_who_can_mend_it(
    error: str, number: int, kind: type[SchedulingError]
) -> None:
    raised = entra_error(read_refusal(400, body(error, number)))
    assert type(raised) is kind
    assert raised.remedy
    if isinstance(raised, ConsentMissing):
        assert raised.aadsts == number


def test_every_number_is_tried() -> None:
    assert {number for _, number, _ in ROWS} == set(MEANINGS)


@pytest.mark.parametrize("number", sorted(MEANINGS))
def test_claims_always_mean_signing_in_again(number: int) -> None:
    refusal = read_refusal(400, body("invalid_grant", number, claims='{"access_token":{}}'))
    raised = entra_error(refusal)
    assert isinstance(raised, SignInAgain)
    assert raised.claims == '{"access_token":{}}'


def test_the_printed_challenge_is_passed_on() -> None:
    sample = graph_sample("entra-obo-interaction-required")
    refusal = read_refusal(sample["status"], json.dumps(sample["response"]))
    raised = entra_error(refusal)
    assert isinstance(raised, SignInAgain)
    assert raised.claims == sample["response"]["claims"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("consent_required", ConsentMissing),
        ("unauthorized_client", ConsentMissing),
        ("invalid_client", Misconfigured),
        ("interaction_required", SignInAgain),
        ("invalid_grant", NotAuthenticated),
        ("something_new", CalendarRefused),
    ],
)
def test_an_unknown_number_is_judged_by_its_error(error: str, kind: type[SchedulingError]) -> None:
    raised = entra_error(read_refusal(400, body(error, 999999)))
    assert type(raised) is kind
    if kind is not SignInAgain:
        assert "t-1" in str(raised.remedy)
        assert "c-1" in str(raised.remedy)


def test_a_suberror_tells_more_than_the_error() -> None:
    consent = body("invalid_grant", None, suberror="consent_required")
    assert isinstance(entra_error(read_refusal(400, consent)), ConsentMissing)
    action = body("invalid_grant", None, suberror="basic_action")
    assert isinstance(entra_error(read_refusal(400, action)), SignInAgain)


@pytest.mark.parametrize("payload", [b"", b"<html>", b"[]", b'{"no":"error"}', b"\xff"])
@pytest.mark.parametrize("status", [0, 200, 400, 502, 503])
def test_empty_error_is_retryable(status: int, payload: bytes) -> None:
    assert isinstance(entra_error(read_refusal(status, payload)), CalendarUnavailable)


def test_a_failing_service_is_not_a_refusal() -> None:
    refusal = read_refusal(503, body("invalid_grant", 50013))
    assert isinstance(entra_error(refusal), CalendarUnavailable)
    refusal = read_refusal(400, body("temporarily_unavailable", 90033))
    assert isinstance(entra_error(refusal), CalendarUnavailable)


def test_throttling_says_how_long() -> None:
    raised = entra_error(read_refusal(429, body("temporarily_unavailable", None), "7"))
    assert isinstance(raised, CalendarThrottled)
    assert raised.retry_after_seconds == 7
