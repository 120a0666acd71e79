from __future__ import annotations

import copy
import inspect
import pickle

import pytest
from pydantic import ValidationError

from maas_client import errors
from maas_client._answers import error_from
from maas_client._masking import Masked
from maas_client.types import AccountCreate, ErrorDetail

TREE = sorted(
    (kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.MaasError)),
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", TREE)
def test_every_error_is_drawn_in_the_docstring(kind):
    """The tree in the module's docstring names each class, with its status where it has one."""
    line = next(line for line in errors.__doc__.splitlines() if line.strip("│├└─ ").startswith(kind.__name__))
    if kind.default_status not in {None, 500}:
        assert str(kind.default_status) in line


@pytest.mark.parametrize("kind", TREE)
def test_every_error_survives_pickle_and_deepcopy(kind):
    """Process pools and loggers get the same error with all its attributes."""
    error = kind(
        "it failed",
        status=418,
        code="teapot",
        param="instances[1].text",
        request_id="req_1",
        retry_after=2.5,
        should_retry=True,
        body="{}",
        errors=[ErrorDetail(code="c", message="m")],
    )
    for other in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(other) is kind
        assert vars(other) == vars(error)
        assert str(other) == str(error)


@pytest.mark.parametrize("kind", TREE)
def test_every_error_is_made_in_one_line(kind):
    """A user's test needs nothing but a message, or not even that."""
    assert str(kind("no such model")).startswith("no such model")
    assert str(kind()).startswith(kind.__name__)
    assert kind().status == kind.default_status


def test_text_is_one_printable_line_of_bounded_length():
    """Line breaks, control characters and endless messages of a server do no harm to a log."""
    text = str(errors.BadRequestError("a\r\nb\x1b[31m" + "x" * 100_000))
    assert text.startswith("a b [31m")
    assert text.isprintable()
    assert len(text) <= 1000


@pytest.mark.parametrize("message", [None, b"\xff", 3, "\ud800"])
def test_text_never_raises(message):
    """Whatever was given as the message, `str` gives a text."""
    assert isinstance(str(errors.MaasError(message)), str)


def test_text_says_what_to_do_and_whom_to_ask():
    """The line holds status, code, request id, the wait and the next step."""
    error = errors.RateLimitError("too fast", code="rate_limited", request_id="req_1", retry_after=3)
    assert str(error) == (
        "too fast (HTTP 429, rate_limited, repeat after 3 s, request req_1): "
        "slow down, or raise max_retries and timeout"
    )


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.ArgumentError, ValueError),
        (errors.PackageError, ValueError),
        (errors.DeadlineError, TimeoutError),
        (errors.GatewayTimeoutError, TimeoutError),
    ],
)
def test_errors_join_the_builtin_that_people_catch(kind, builtin):
    """`except TimeoutError` and `except ValueError` do what they seem to."""
    assert issubclass(kind, builtin)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequestError),
        (401, errors.AuthenticationError),
        (403, errors.PermissionDeniedError),
        (404, errors.NotFoundError),
        (405, errors.StatusError),
        (409, errors.ConflictError),
        (410, errors.GoneError),
        (412, errors.PreconditionFailedError),
        (413, errors.TooLargeError),
        (415, errors.UnsupportedMediaTypeError),
        (422, errors.UnprocessableError),
        (429, errors.RateLimitError),
        (500, errors.ServerError),
        (502, errors.ServerError),
        (503, errors.UnavailableError),
        (504, errors.GatewayTimeoutError),
    ],
)
def test_each_status_has_its_class(status, kind):
    """The class follows from the status alone, whatever the body is."""
    error = error_from(status, {}, b"")
    assert type(error) is kind
    assert error.status == status


def test_validation_is_described_without_the_values():
    """The line names each field and what was expected, and not what was given: it may be a password."""
    with pytest.raises(ValidationError) as caught:
        AccountCreate.model_validate({"email": "x", "password": "hunter2", "colour": 1})
    line = errors.describe_validation(caught.value)
    assert "email: String should match pattern" in line
    assert "password: Value should have at least 10 items" in line
    assert "accept_policy: is required" in line
    assert "colour: is not a known field; check the spelling" in line
    assert "hunter2" not in line


def test_an_answer_becomes_an_error_with_everything_it_says():
    """Each part of the error object and of the headers has its attribute."""
    body = (
        b'{"error": {"type": "t", "code": "c", "message": "bad rows", "param": "instances[17].text",'
        b' "request_id": "req_2", "errors": [{"code": "x", "message": "m", "param": "p"}, 5]}}'
    )
    error = error_from(422, {"Retry-After": "7", "x-should-retry": "false"}, body)
    assert (error.type, error.code, error.message, error.param) == (
        "t",
        "c",
        "bad rows",
        "instances[17].text",
    )
    assert (error.request_id, error.retry_after, error.should_retry) == ("req_2", 7.0, False)
    assert [fault.param for fault in error.errors] == ["p", None]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": "model not loaded"}', "model not loaded"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"detail": [{"loc": ["body"]}]}', '[{"loc": ["body"]}]'),
        (b"upstream is down", "upstream is down"),
        (b"[1]", "[1]"),
        (b"", "the server answered with status 500 and no explanation"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"[" * 100_000, "[" * 2000),
    ],
)
def test_other_servers_errors_are_read_too(body, message):
    """Strings, FastAPI's `detail`, plain text, bytes that are no text: none of them breaks the reader."""
    assert error_from(500, {}, body).message == message


def test_an_echoed_secret_is_masked():
    """A server that repeats the credential in its error does not bring it into our logs."""
    secret = Masked("correct horse battery")
    error = error_from(
        400,
        {},
        b'{"error": {"message": "bad: correct horse battery, maas_ses_0123456789"}}',
        secrets=[secret],
    )
    assert "correct horse" not in error.body + str(error)
    assert "maas_ses_0123456789" not in error.body + str(error)


def test_the_body_is_bounded():
    """A page of HTML does not fill the log."""
    assert len(error_from(502, {}, b"x" * 1_000_000).body) == errors.MAX_BODY_CHARACTERS


def test_a_route_that_is_not_there_is_no_name_to_check():
    """An older server, or a base_url that ends in /v1."""
    error = errors.NotFoundError("there is no route GET /v1/v1/models", code="route_not_found")
    assert str(error).endswith("or base_url holds a path that does not belong there")
    assert "check the name" in str(errors.NotFoundError("no model", code="model_not_found"))


def test_what_somebody_else_made_of_it_comes_with_the_error():
    """A lost race holds the alias; what the SDK does not know stays out and breaks nothing."""
    alias = b'{"name": "a", "version": 2, "revision": 5, "moved_at": "2026-01-01T00:00:00Z"}'
    error = error_from(412, {}, b'{"error": {"message": "m", "current": ' + alias + b"}}")
    assert (error.current.name, error.current.revision) == ("a", 5)
    assert pickle.loads(pickle.dumps(error)).current == error.current
    for unknown in (b'{"weights": {}}', b"[]", b"null", b"3"):
        assert (
            error_from(412, {}, b'{"error": {"message": "m", "current": ' + unknown + b"}}").current is None
        )


def test_what_is_gone_names_its_replacement():
    """As a word, whatever the server sends."""
    error = error_from(410, {}, b'{"error": {"code": "version_retired", "message": "m", "replacement": "4"}}')
    assert (error.replacement, error.code) == ("4", "version_retired")
    assert error_from(410, {}, b'{"error": {"message": "m", "replacement": [4]}}').replacement is None
