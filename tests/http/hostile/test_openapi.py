"""Generated calls of everything that `/openapi.json` describes: no defect, and every answer as described."""

from __future__ import annotations

import json
from collections import Counter
from urllib.parse import quote

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from jsonschema_rs import Draft202012Validator
from schemathesis import GenerationMode
from world import World

from maas_client._package import pack
from reference_server.app import ROUTES
from reference_server.http.documentation import openapi

STEPS = 36
# A story ends before its last step when what was drawn for a call leaves no room for the next one's, so
# nobody knows how many calls so many stories make: `make fuzz` tells stories until there are enough.
IS_LONG = settings.default.max_examples > settings.get_profile("default").max_examples
EXAMPLES, LEAST_CALLS = (50, 5000) if IS_LONG else (6, 300)
# Has no divisor in common with the number of operations.
STRIDE = 31
LEAST_SHARE = 0.6
# Stories of one account, one after the other; to make the next one and all that it has takes a second.
STORIES_OF_A_WORLD = 3
# What may hold anything, and why.
FREE_FORM = {
    "PredictReply.predictions[]": "a task's own fields, which its signature names",
    "Nothing": "what a load answers, which is an empty object",
    "JsonValue": "what a publisher or a caller wrote: examples, lineage, parameters, results",
}
ENDPOINTS = tuple(each for routes in ROUTES for each in routes.endpoints)
FOR_OPERATORS = {each.name for each in ENDPOINTS if each.access == "operator"}
DOCUMENT = json.loads(json.dumps(openapi(ENDPOINTS)))
OPERATIONS = [
    (method, path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


def inner(schema):
    """Return the schemas that lie directly in one, with what they are of it."""
    for way in ("anyOf", "oneOf", "allOf", "prefixItems"):
        yield from (("", each) for each in schema.get(way, ()))
    if isinstance(schema.get("items"), dict):
        yield "[]", schema["items"]
    if isinstance(schema.get("additionalProperties"), dict) and "properties" not in schema:
        yield "{}", schema["additionalProperties"]
    yield from ((f".{name}", each) for name, each in schema.get("properties", {}).items())


def free_forms(schema, where, seen):
    """Yield the places in a schema that anything fits."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in seen:
            seen.add(name)
            yield from free_forms(DOCUMENT["components"]["schemas"][name], name, seen)
        return
    says_nothing = not {"type", "anyOf", "oneOf", "allOf", "enum", "const"} & schema.keys()
    any_object = (
        schema.get("type") == "object"
        and not schema.get("properties")
        and not isinstance(schema.get("additionalProperties"), dict)
    )
    any_list = schema.get("type") == "array" and not {"items", "prefixItems"} & schema.keys()
    if says_nothing or any_object or any_list:
        yield where
    for part, each in inner(schema):
        yield from free_forms(each, where + part, seen)


def test_no_reply_is_an_object_of_anything():
    """Every field of a reply is described, but for those on a list that says why."""
    seen, found = set(), set()
    for _, path, operation in OPERATIONS:
        for status, response in operation["responses"].items():
            assert "content" in response or status == "204", (path, status)
            for media in response.get("content", {}).values():
                found.update(free_forms(media["schema"], f"{path} {status}", seen))
    assert found == set(FREE_FORM)


def closed(schema):
    """Return a schema under which a field that is not described is a fault."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(each) for key, each in schema.items()}
    if made.get("type") == "object" and made.get("properties") and made.get("additionalProperties") is True:
        made["additionalProperties"] = False
    return made


def validators():
    """Return what holds an answer against its schema, by operation and status."""
    document = closed(DOCUMENT)
    made = {}
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                for kind, media in response.get("content", {}).items():
                    if kind == "application/json":
                        schema = {**media["schema"], "components": document["components"]}
                        made[operation["operationId"], status] = Draft202012Validator(schema)
    return made


@schemathesis.serializer("application/zip")
def _as_it_is(_context, value):
    return value if isinstance(value, bytes) else json.dumps(value, default=str).encode()


class Calls:
    """Sends generated calls and holds the answers against the description."""

    def __init__(self, server, packages):
        self.server, self.packages = server, packages
        schema = schemathesis.openapi.from_dict(DOCUMENT)
        found = [each.ok() for each in schema.get_all_operations()]
        self.operations = sorted(found, key=lambda each: each.definition.raw["operationId"])
        self.strategies = {
            (each.label, mode): each.as_strategy(generation_mode=mode)
            for each in found
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        }
        self.validators = validators()
        self.stories = self.sent = 0
        self.succeeded = Counter()
        self.statuses = Counter()

    @property
    def never_succeeded(self):
        """The operations that no call has seen to succeed, by name."""
        names = (each.definition.raw["operationId"] for each in self.operations)
        return [name for name in names if not self.succeeded[name]]

    def world(self):
        """Return where the next story plays."""
        if self.stories % STORIES_OF_A_WORLD == 0:
            self._world = World(self.server, self.packages)
        self.stories += 1
        return self._world

    def call(self, data, world, turn):
        """Draw the rest of one call, make it and check its answer."""
        operation = self.operations[turn % len(self.operations)]
        mode = data.draw(st.sampled_from([GenerationMode.POSITIVE] * 3 + [GenerationMode.NEGATIVE]))
        try:
            case = data.draw(self.strategies[operation.label, mode])
        except schemathesis.errors.SchemathesisError:  # nothing of it could be wrong
            case = data.draw(self.strategies[operation.label, GenerationMode.POSITIVE])
        name = operation.definition.raw["operationId"]
        knows = data.draw(st.sampled_from([True] * 8 + [False] * 2), label="knows what there is")
        options = _sent(case, world, name, knows=knows)
        credential = data.draw(CREDENTIALS, label="credential")
        own = world.operator if name in FOR_OPERATORS else world.session
        options["headers"].update(own if credential is None else credential)
        note = f"{operation.method} {options['path']}"
        answer = self.server.flask.test_client().open(**options, buffered=False)
        if answer.status_code == 401 and credential is None:
            world.log_in()  # the session was ended, as somebody asked
        try:
            self._check(note, operation.definition.raw, name, answer)
            if answer.mimetype != "text/event-stream":
                world.learn(answer.data)
        finally:
            answer.close()

    def _check(self, note, described, name, answer):
        self.sent += 1
        self.statuses[answer.status_code] += 1
        assert answer.status_code < 500 or answer.status_code in (503, 504), (note, answer.data[:500])
        responses = described["responses"]
        assert str(answer.status_code) in responses, (note, answer.status_code, answer.data[:500])
        assert answer.headers["X-Request-Id"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        content = responses[str(answer.status_code)].get("content")
        if answer.status_code < 300:
            self.succeeded[name] += 1
        if content is None:
            assert answer.data == b"", note
            return
        assert answer.mimetype in content, (note, answer.mimetype)
        if answer.mimetype != "application/json":
            return
        errors = self.validators[name, str(answer.status_code)].iter_errors(answer.json)
        found = [error.message for error in errors]
        assert not found, (note, answer.status_code, found[:3], answer.data[:500])


def _sent(case, world, name, *, knows):
    """Return what is sent for a generated case; `knows` puts in what there is and what succeeds."""
    parameters = {key: str(value) for key, value in (case.path_parameters or {}).items()}
    body = None if isinstance(case.body, schemathesis.core.NotSet) else case.body
    kind, query = case.media_type, dict(case.query or {})
    if knows:
        for key in parameters:
            names = world.names.get(key)
            if names:
                parameters[key] = names[len(parameters[key]) % len(names)]
        if name in world.well_formed and len(json.dumps(body, default=str)) % 3:
            body = world.well_formed[name]
            kind = _KINDS.get(name, "application/json")
            query = {}
    path = case.operation.path
    for key, value in parameters.items():
        path = path.replace(f"{{{key}}}", quote(value, safe=""))
    headers = {key.lower(): str(value) for key, value in (case.headers or {}).items()}
    # Credentials are drawn beside this one, as most of the generated ones say nothing.
    headers = {key: each for key, each in headers.items() if key != "authorization" and _is_header(each)}
    if body is not None and kind:
        headers["content-type"] = kind
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body, default=str).encode("utf-8", "surrogatepass")
    return {
        "path": path,
        "method": case.operation.method.upper(),
        "query_string": {key: value for key, value in query.items() if value is not None},
        "headers": headers,
        "data": body,
    }


_KINDS = {"versions.publish": "application/zip", "uploads.add_chunk": "application/octet-stream"}


def _is_header(value):
    return value.isascii() and value.isprintable()


# None for the session's own.
_CREDENTIALS = [{}, {"authorization": "Bearer maas_key_none"}, {"authorization": "Basic YTpi"}]
CREDENTIALS = st.sampled_from([None] * 27 + _CREDENTIALS)


@pytest.fixture(scope="module")
def calls(make_server, tmp_path_factory, packages):
    """The calls of this run, to one server."""
    made = make_server(tmp_path_factory.mktemp("fuzz") / "data", calls_per_second=100_000)
    made.services.has_job_processes = True  # jobs are made here, and wait for ever
    yield Calls(made, packages)
    made.close()


@pytest.fixture(scope="module")
def packages(text_package):
    """A text classifier, another of the same kind, and the same graph as a text encoder, as zips."""
    manifest = (text_package / "maas.toml").read_text(encoding="utf-8")
    manifests = (
        manifest,
        manifest.replace("Counts", "Adds up"),
        manifest.replace("text-classification", "embedding").replace('labels = ["negative", "positive"]', ""),
    )
    graph = (text_package / "model.onnx").read_bytes()
    return tuple(pack({"maas.toml": each.encode(), "model.onnx": graph}) for each in manifests)


@pytest.mark.timeout(3600)
def test_generated_calls_find_no_defect(calls):
    """Whatever is sent in whatever order: no 5xx but those that are meant, every answer as described."""

    class Caller(RuleBasedStateMachine):
        @initialize(turn=st.integers(0, len(calls.operations) - 1))
        def arrive(self, turn):
            # From one operation to the next in strides, so that all have their turn in any order of two.
            self.turn = turn
            self.world = calls.world()

        @rule(data=st.data())
        def call(self, data):
            self.turn += STRIDE
            calls.call(data, self.world, self.turn)

    bounds = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        # The same stories again would not be more of them.
        derandomize=False,
        # A failure tells the call and its answer; to look for a shorter story takes minutes.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    while calls.sent < LEAST_CALLS:
        run_state_machine_as_test(Caller, settings=bounds)
    share = 1 - len(calls.never_succeeded) / len(calls.operations)
    assert share >= LEAST_SHARE, f"{share:.0%} of {calls.sent} calls; never seen: {calls.never_succeeded}"
    print(f"{calls.sent} calls; never seen to succeed: {calls.never_succeeded}; {calls.statuses}")  # noqa: T201
