"""OpenAPI 3.1 from the table of endpoints, and a page that shows it."""

from __future__ import annotations

import inspect
from functools import lru_cache
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import jinja2
import orjson
from pydantic.json_schema import models_json_schema

from maas_client import types
from reference_server.http import pages
from reference_server.http.captured_contents import CAPTURED
from reference_server.http.failure_table import failures
from reference_server.http.job_events import EVENT_STREAM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reference_server.http.endpoints import Endpoint
    from reference_server.http.exchange import Answer

_REF = "#/components/schemas/{model}"
_JSON = "application/json"
_OPEN_INFERENCE = "open-inference"
_BYTES = "application/octet-stream"
_PATTERNS = {
    "model": rf"^(?:{types.ACCOUNT_NAME}~)?{types.MODEL_NAME}$",
    "version": rf"^(?:{types.VERSION_NUMBER}|{types.ALIAS_NAME})$",
    "alias": rf"^{types.ALIAS_NAME}$",
    "account": rf"^{types.ACCOUNT_NAME}$",
    "offset": r"^[0-9]{1,18}$",
}
_MEANINGS = {
    "model": "`name`, or `account~name` where it must be exact.",
    "version": "A version's number, an alias, or `latest`.",
    "alias": "An alias, such as `default`.",
    "account": "An account's name.",
    "key": "A key's id.",
    "session": "A session's id, or `current`.",
    "upload": "An upload's id.",
    "job": "A job's id.",
    "erasure": "An erasure's id.",
    "offset": "Where in the package the chunk begins, in bytes.",
}
_PREDICT_SCHEMA = {
    "type": "object",
    "description": "The model's inputs by name for one instance, or `instances` for many; options under "
    "`parameters`. Which inputs a model takes stands in its `signature`.",
    "properties": {
        "instances": {"type": "array", "minItems": 1, "items": {"type": "object"}},
        "parameters": {"type": "object"},
    },
    "additionalProperties": True,
    "examples": [
        {"text": "This is a sample text for classification."},
        {"instances": [{"text": "Good."}, {"text": "Bad."}]},
    ],
}

Schema = dict[str, Any]


@lru_cache(maxsize=1)
def openapi(endpoints: tuple[Endpoint, ...]) -> Schema:
    """Return the description as a JSON-ready object."""
    schemas, definitions = models_json_schema(list(_used(endpoints)), ref_template=_REF)
    references = {model: schema for (model, _), schema in schemas.items()}
    paths: dict[str, Schema] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.template, {})[endpoint.method.lower()] = _operation(endpoint, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Model as a Service",
            "version": version("maas-client"),
            "description": "Register, log in, choose a model, call it, read the result.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key (`maas_key_…`) or a log-in session's token (`maas_ses_…`).",
                }
            },
            "schemas": definitions.get("$defs", {}),
        },
    }


@lru_cache(maxsize=1)
def openapi_json(endpoints: tuple[Endpoint, ...]) -> bytes:
    """Return the description as JSON."""
    return orjson.dumps(openapi(endpoints))


@lru_cache(maxsize=1)
def page(endpoints: tuple[Endpoint, ...]) -> Answer:
    """Return the description as an HTML page, under a policy that lets nothing else in."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reference_server.http", package_path=""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = environment.get_template("docs.css").render()
    html = environment.get_template("docs.html").render(
        document=openapi(endpoints), style=style, groups=_groups(endpoints)
    )
    return pages.page(html, style=style)


def _used(endpoints: tuple[Endpoint, ...]) -> Iterator[tuple[type[Any], Any]]:
    yield types.ErrorReply, "serialization"
    yield types.PredictReply, "serialization"
    for endpoint in endpoints:
        for body in (endpoint.body, endpoint.holds):
            if body is not None:
                yield body, "validation"
        for reply in (endpoint.reply, *endpoint.answers.values()):
            if reply is not None:
                yield reply, "serialization"


def _operation(endpoint: Endpoint, references: dict[Any, Schema]) -> Schema:
    summary, _, more = (inspect.getdoc(endpoint.handler) or "").partition("\n\n")
    operation: Schema = {
        "operationId": endpoint.name,
        "tags": [endpoint.tag],
        "summary": " ".join(summary.split()),
        "description": "\n\n".join(part for part in (" ".join(more.split()), _needs(endpoint)) if part),
        "parameters": [
            *_path_parameters(endpoint),
            *_query_parameters(endpoint),
            *_header_parameters(endpoint),
        ],
        "responses": {
            str(endpoint.status): _success(endpoint, endpoint.status, references, "Done."),
            **{
                str(status): _success(endpoint, status, references, meaning)
                for status, meaning in endpoint.others.items()
            },
            **{
                str(status): _failed(endpoint, references, meaning)
                for status, meaning in failures(endpoint).items()
                if status not in endpoint.others
            },
            "default": _failed(endpoint, references, "Any other failure; a 500 is a defect of the server."),
        },
    }
    if (body := _request_body(endpoint, references)) is not None:
        operation["requestBody"] = body
    if endpoint.access == "open":
        operation["security"] = []
    return operation


def _failed(endpoint: Endpoint, references: dict[Any, Schema], meaning: str) -> Schema:
    return {"description": meaning, "content": {_JSON: {"schema": _failure(endpoint, references)}}}


def _failure(endpoint: Endpoint, references: dict[Any, Schema]) -> Schema:
    if endpoint.tag != _OPEN_INFERENCE:
        failure: Schema = references[types.ErrorReply]
        return failure
    return {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}


def _needs(endpoint: Endpoint) -> str:
    if endpoint.access == "open":
        return "Open to anyone."
    if endpoint.access == "session":
        return "Needs a log-in session."
    return f"Needs the scope `{endpoint.access}`."


def _success(endpoint: Endpoint, status: int, references: dict[Any, Schema], description: str) -> Schema:
    if endpoint.tag == _OPEN_INFERENCE and status >= HTTPStatus.BAD_REQUEST:
        return _failed(endpoint, references, description)
    if (reply := endpoint.answers.get(status)) is not None:
        content: Schema = {_JSON: {"schema": references[reply]}}
        if endpoint.tag == _OPEN_INFERENCE and endpoint.inference:
            # The same JSON, and behind it the tensors that were asked for as binary ones.
            content[_BYTES] = {"schema": {"type": "string", "contentMediaType": _BYTES}}
        if endpoint.produces is not None:
            # Asked for by `Accept`.
            content[endpoint.produces] = {"schema": {"type": "string", "contentMediaType": endpoint.produces}}
        return {**_capture_header(endpoint), "description": description, "content": content}
    if endpoint.inference:
        return {
            **_capture_header(endpoint),
            "description": "The predictions, one for each instance.",
            "content": {_JSON: {"schema": references[types.PredictReply]}},
        }
    if endpoint.reply is not None:
        return {"description": description, "content": {_JSON: {"schema": references[endpoint.reply]}}}
    if endpoint.produces is not None:
        binary = {"type": "string", "contentMediaType": endpoint.produces}
        return {"description": description, "content": {endpoint.produces: {"schema": binary}}}
    return {"description": description}


def _capture_header(endpoint: Endpoint) -> Schema:
    if not (endpoint.inference and endpoint.tag in CAPTURED):
        return {}
    told = "Only where inputs and outputs may be stored for the model's owners: for how many days, and which "
    told += "fraction of the calls, as in `days=7, sample=0.1` (RFC 9651)."
    return {"headers": {"X-Maas-Capture": {"description": told, "schema": {"type": "string"}}}}


def _request_body(endpoint: Endpoint, references: dict[Any, Schema]) -> Schema | None:
    if endpoint.body_kind == "none":
        return None
    if endpoint.body_kind == "upload":
        binary: Schema = {"type": "string", "contentMediaType": endpoint.streamed}
        described = binary if endpoint.holds is None else references[endpoint.holds]
        return {"required": False, "content": {endpoint.streamed: {"schema": described}}}
    if endpoint.tag == _OPEN_INFERENCE:
        described = {"schema": {"type": "object"}}
        return {"required": endpoint.inference, "content": {_JSON: described, _BYTES: {"schema": {}}}}
    if endpoint.body_kind == "raw" and not endpoint.inference:
        binary = {"type": "string", "contentMediaType": _BYTES}
        return {"required": True, "content": {_BYTES: {"schema": binary}}}
    schema = _PREDICT_SCHEMA if endpoint.body is None else references[endpoint.body]
    return {"required": True, "content": {_JSON: {"schema": schema}}}


def _path_parameters(endpoint: Endpoint) -> list[Schema]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _MEANINGS[name],
            "schema": {"type": "string", **({"pattern": _PATTERNS[name]} if name in _PATTERNS else {})},
        }
        for name in endpoint.parameters
    ]


def _query_parameters(endpoint: Endpoint) -> list[Schema]:
    if endpoint.query is None:
        return []
    schema = endpoint.query.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "description": field.pop("description", ""),
            "schema": field,
        }
        for name, field in schema["properties"].items()
    ]


def _header_parameters(endpoint: Endpoint) -> list[Schema]:
    headers: dict[str, tuple[str, Schema]] = {}
    if endpoint.replayable or HTTPStatus.ACCEPTED in endpoint.answers:
        headers["Idempotency-Key"] = (
            "Makes a repeat safe for 24 hours: the same key gets the first call's answer.",
            {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        )
    if endpoint.inference:
        headers["X-Request-Timeout-Ms"] = (
            "How long the caller will wait, in milliseconds; then the answer is 504.",
            {"type": "integer", "minimum": 1},
        )
    if endpoint.produces == EVENT_STREAM:
        headers["Last-Event-ID"] = (
            "The last event that was seen; only later ones are sent.",
            {"type": "string"},
        )
    elif endpoint.has_ranges:
        headers["Range"] = ("`bytes=FIRST-LAST`, one range (RFC 9110, section 14).", {"type": "string"})
        headers["If-Range"] = ("The `ETag` that the range must belong to.", {"type": "string"})
    if endpoint.body_kind in ("upload", "raw") and not endpoint.inference:
        headers["Content-Digest"] = ("`sha-256=:BASE64:` of the body (RFC 9530).", {"type": "string"})
    return [
        {"name": name, "in": "header", "required": False, "description": text, "schema": schema}
        for name, (text, schema) in headers.items()
    ]


def _groups(endpoints: tuple[Endpoint, ...]) -> dict[str, list[tuple[str, str]]]:
    groups: dict[str, list[tuple[str, str]]] = {}
    for endpoint in endpoints:
        groups.setdefault(endpoint.tag, []).append((endpoint.template, endpoint.method.lower()))
    return groups
