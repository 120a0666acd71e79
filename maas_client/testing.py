"""A platform in memory for the tests of your own code: no server, no network, the real client.

    from maas_client.testing import FakeMaas

    fake = FakeMaas()
    fake.add_model("mood", labels=["sad", "glad"], answer="glad")  # or a function of the inputs
    client = fake.client()
    assert client.predict("mood", text="Good morning!").label == "glad"
    fake.fail(maas_client.RateLimitError(retry_after=0))  # the next attempt; the client repeats it by itself
    assert fake.calls[-1].json == {"text": "Good morning!"}

Only the socket is replaced: arguments, paths, retries, answers and errors are those of `Client` and
`AsyncClient`. Under pytest the fixture `fake_maas` gives one that also serves every client which the code
under test makes by itself.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, TypeAlias
from unittest import mock
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel
from requests.structures import CaseInsensitiveDict

from maas_client import (
    _client,
    _fake_catalogue,
    _fake_explanations,
    _fake_fine_tunes,
    _transport,
)
from maas_client._operations._operation import Answer
from maas_client.errors import MaasError, NotFoundError, UnprocessableError
from maas_client.types import ErrorDetail

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from maas_client import AsyncClient, Client, _fake_features
    from maas_client._calls import Call
    from maas_client.types import FineTuneOptions

BASE_URL = "http://fake.maas"
API_KEY = "maas_key_of_a_fake"

Inputs: TypeAlias = dict[str, Any]
Outputs: TypeAlias = str | Mapping[str, Any]
InferFunction: TypeAlias = "Callable[[Mapping[str, NDArray[Any]]], Mapping[str, ArrayLike]]"
AnswerFunction: TypeAlias = Callable[[Inputs], Outputs]

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_SURE = 0.9


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One attempt that reached the fake.

    Args:
        method: The HTTP method.
        template: The path with the names of its parts, such as `/v1/models/{model}/predict`.
        path: The path itself, quoted, with its query.
        parts: The parts of the path by name, such as `{"model": "mood"}`.
        query: The query by name.
        json: The body, if it is JSON; None otherwise.
        content: The body as bytes.
        headers: The headers, the credential masked.
    """

    method: str
    template: str
    path: str
    parts: Mapping[str, str]
    query: Mapping[str, str]
    json: Any
    content: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def route(self) -> str:
        """Method and template, as `FakeMaas.reply` and `FakeMaas.fail` take them."""
        return f"{self.method} {self.template}"


@dataclass(slots=True)
class _Model:
    description: dict[str, Any]
    answer: AnswerFunction
    infer: InferFunction | None
    inputs: tuple[str, ...]
    versions: list[dict[str, Any]]
    default: int
    # What versions answer that were trained here; the others answer alike.
    trained: dict[int, AnswerFunction] = field(default_factory=dict)


class FakeMaas:
    """Models, scripted replies and scripted failures in the place of a server.

    It knows the catalogue, versions, aliases and predictions of the models that were added, and explains
    those predictions, in a call or by a job, which is done at once. A fine-tune is trained for real, on the
    words, columns or vectors of some hundred rows, and predicts afterwards. Anything else fails the test with
    an AssertionError until `reply` says what the answer is.
    """

    def __init__(self) -> None:
        self.calls: list[RecordedCall] = []
        self._models: dict[str, _Model] = {}
        self._jobs: dict[str, dict[str, Any]] = {}
        self._replies: dict[str, Answer] = {}
        self._failures: list[tuple[str | None, MaasError]] = []

    def client(self, **options: Any) -> Client:  # noqa: ANN401 - Client's own
        """Return a `Client` of this fake; options as those of `Client`."""
        with self.installed():
            return _client.Client(**{"api_key": API_KEY, "base_url": BASE_URL, **options})

    def async_client(self, **options: Any) -> AsyncClient:  # noqa: ANN401 - AsyncClient's own
        """Return an `AsyncClient` of this fake; options as those of `AsyncClient`."""
        from maas_client import _async_client

        with self.installed():
            return _async_client.AsyncClient(**{"api_key": API_KEY, "base_url": BASE_URL, **options})

    @contextmanager
    def installed(self) -> Iterator[FakeMaas]:
        """Serve every client that is made inside the block, whatever its host and key.

        A client that is told neither finds both in the environment.
        """
        with ExitStack() as undo:
            undo.enter_context(
                mock.patch.dict("os.environ", {"MAAS_BASE_URL": BASE_URL, "MAAS_API_KEY": API_KEY})
            )
            undo.enter_context(mock.patch.object(_client, "Transport", self._transport))
            try:
                from maas_client import _async_client
            except ModuleNotFoundError as error:
                if error.name != "httpx2":
                    raise
            else:
                undo.enter_context(mock.patch.object(_async_client, "AsyncTransport", self._async_transport))
            yield self

    def add_model(
        self,
        name: str,
        *,
        answer: AnswerFunction | Outputs = MappingProxyType({}),
        labels: Sequence[str] = (),
        infer: InferFunction | None = None,
        inputs: Sequence[str] = ("text",),
        task: str = "text-classification",
        versions: int = 1,
        **described: Any,  # noqa: ANN401 - fields of Model
    ) -> None:
        """Put a model into the catalogue.

        Args:
            name: Its name.
            answer: What it predicts: a label, or the outputs by name; or a function of an instance's inputs
                that returns either, or raises a `MaasError`; an `UnprocessableError` concerns that instance
                alone, as a server's does.
            infer: What it does with tensors: a function of the input arrays by name that returns the output
                arrays by name.
            labels: Its labels; a predicted label gets the score 0.9, the others share the rest.
            inputs: The names that an instance must have.
            task: Its task.
            versions: How many versions it has; `default` is the last of them.
            described: Further fields of `maas_client.types.Model`, such as `description`.
        """
        numbers = range(1, versions + 1)
        self._models[name] = _Model(
            description={
                "id": name,
                "created": int(_NOW.timestamp()),
                "owned_by": "fake",
                "name": name,
                "visibility": "public",
                "task": task,
                "labels": list(labels),
                "signature": _signature(inputs),
                "default_version": versions,
                "latest_version": versions,
                "updated_at": _NOW.isoformat(),
                **described,
            },
            answer=_function(answer),
            infer=infer,
            inputs=tuple(inputs),
            versions=[_version(name, number, task, labels, inputs) for number in numbers],
            default=versions,
        )

    def reply(
        self, route: str, body: object, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """Say what a route answers from now on.

        Args:
            route: Method and path template, such as `GET /v1/keys`.
            body: What is sent as JSON: dicts and lists, or objects of `maas_client.types`.
            status: The status; 400 and above become the error that the SDK raises for it.
            headers: Further headers, such as `{"Retry-After": "1"}`.
        """
        self._replies[route] = _answer(status, _json(body), headers or {})

    def fail(self, error: MaasError, *, times: int = 1, route: str | None = None) -> None:
        """Let the next attempts fail; what the SDK repeats, it repeats.

        Args:
            error: What they raise, such as `maas_client.UnavailableError(retry_after=0)`.
            times: How many attempts fail.
            route: Only those of this route, such as `POST /v1/models/{model}/predict`.
        """
        self._failures += [(route, error)] * times

    def _transport(self, base_url: str, *_: object) -> _transport.Transport:
        return _FakeTransport(base_url, self._answer)

    def _async_transport(self, base_url: str, *_: object) -> object:
        from maas_client._async_transport import AsyncTransport

        answer = self._answer

        class FakeAsyncTransport(AsyncTransport):
            async def _send(self, call: Call[Any], url: str) -> Answer:
                return answer(call, url)

        return FakeAsyncTransport(base_url)

    def _answer(self, call: Call[Any], url: str) -> Answer:
        made = _recorded(call, url)
        self.calls.append(made)
        for index, (route, error) in enumerate(self._failures):
            if route in (None, made.route):
                del self._failures[index]
                raise copy.copy(error)
        if made.route in self._replies:
            return self._replies[made.route]
        known = {
            "GET /v1/models": self._list_models,
            "GET /v1/models/{model}": self._get_model,
            "GET /v1/models/{model}/versions": self._list_versions,
            "GET /v1/models/{model}/versions/{version}": self._get_version,
            "GET /v1/models/{model}/aliases": self._list_aliases,
            "GET /v1/models/{model}/aliases/{alias}": self._get_alias,
            "PUT /v1/models/{model}/aliases/{alias}": self._move_alias,
            "POST /v1/models/{model}/predict": self._predict,
            "POST /v1/models/{model}/versions/{version}/predict": self._predict,
            "POST /v1/models/{model}/explain": self._explain,
            "POST /v1/models/{model}/versions/{version}/explain": self._explain,
            "POST /v1/models/{model}/explanations": self._explain_many,
            "POST /v1/fine-tunes": self._fine_tune,
            "POST /v1/fine-tunes/large": self._fine_tune,
            "GET /v1/jobs": self._list_jobs,
            "GET /v1/jobs/{job}": self._get_job,
            "GET /v2": lambda _: {"name": "fake", "version": "1", "extensions": ["binary_tensor_data"]},
            "GET /v2/health/live": lambda _: {},
            "GET /v2/health/ready": lambda _: {},
            "POST /v2/repository/index": self._index,
            "GET /v2/models/{model}": self._metadata,
            "GET /v2/models/{model}/versions/{version}": self._metadata,
            "GET /v2/models/{model}/ready": self._metadata,
            "GET /v2/models/{model}/versions/{version}/ready": self._metadata,
        }
        if made.template.endswith("/infer"):
            return self._infer(made)
        if made.route not in known:
            raise AssertionError(
                f"FakeMaas has no answer to {made.route}; say one with fake.reply({made.route!r}, ...)"
            )
        return _answer(200, _json(known[made.route](made)), self._notices(made))

    def _notices(self, made: RecordedCall) -> dict[str, str]:
        """Return what a server tells those who call a version by its number."""
        if not made.template.endswith("/predict") or not made.parts.get("version", "").isdigit():
            return {}
        return {"X-Maas-Default-Version": str(self._find(made).default)}

    def _find(self, made: RecordedCall) -> _Model:
        return self._named(made.parts["model"])

    def _named(self, reference: str) -> _Model:
        name = reference.rpartition("~")[2]
        if name not in self._models:
            raise NotFoundError(f"there is no model {name!r} that you can see", code="model_not_found")
        return self._models[name]

    def _number(self, model: _Model, selector: str) -> int:
        number = {"default": model.default, "latest": len(model.versions)}.get(selector)
        if number is None:
            number = int(selector) if selector.isdigit() else 0
        if not 1 <= number <= len(model.versions):
            raise NotFoundError(f"the model has no version {selector!r}", code="version_not_found")
        return number

    def _list_models(self, made: RecordedCall) -> object:
        return _page(
            _fake_catalogue.listed((model.description for model in self._models.values()), made.query)
        )

    def _get_model(self, made: RecordedCall) -> object:
        return self._find(made).description

    def _list_versions(self, made: RecordedCall) -> object:
        return _page(reversed(self._find(made).versions))

    def _get_version(self, made: RecordedCall) -> object:
        model = self._find(made)
        return model.versions[self._number(model, made.parts["version"]) - 1]

    def _list_aliases(self, made: RecordedCall) -> object:
        return _page([_alias(self._find(made))])

    def _get_alias(self, made: RecordedCall) -> object:
        if made.parts["alias"] != "default":
            raise NotFoundError(f"the model has no alias {made.parts['alias']!r}", code="alias_not_found")
        return _alias(self._find(made))

    def _move_alias(self, made: RecordedCall) -> object:
        model = self._find(made)
        number = self._number(model, str(made.json["version"]))
        if made.parts["alias"] == "default":
            model.default = model.description["default_version"] = number
        return {**_alias(model), "name": made.parts["alias"], "version": number, "note": made.json["note"]}

    def _index(self, _: RecordedCall) -> object:
        return [
            {"name": name, "version": str(number + 1), "state": "READY", "reason": ""}
            for name, model in self._models.items()
            for number in range(len(model.versions))
        ]

    def _metadata(self, made: RecordedCall) -> object:
        model = self._find(made)
        self._number(model, made.parts.get("version", "default"))
        versions = [str(number + 1) for number in range(len(model.versions))]
        return {"name": made.parts["model"], "versions": versions, "platform": "fake"}

    def _infer(self, made: RecordedCall) -> Answer:
        from maas_client import _open_inference as protocol
        from maas_client._tensors import tensor_of

        model = self._find(made)
        if model.infer is None:
            raise AssertionError(
                f"FakeMaas has no tensors for {made.parts['model']!r}; pass infer= to add_model"
            )
        request = protocol.read_request(made.content, made.headers)
        outputs = model.infer({name: tensor.array for name, tensor in request.inputs.items()})
        reply = protocol.InferReply(
            [tensor_of(name, value) for name, value in outputs.items()],
            model_name=made.parts["model"],
            model_version=str(self._number(model, made.parts.get("version", "default"))),
        )
        message = protocol.write_reply(reply, request)
        return _answer(200, message.body, message.headers)

    def _predict(self, made: RecordedCall) -> object:
        model = self._find(made)
        number = self._number(model, made.parts.get("version", "default"))
        body = {name: value for name, value in made.json.items() if name != "parameters"}
        many = "instances" in body
        rows = body["instances"] if many else [body]
        _check(rows, model.inputs, many=many)
        return {
            "id": f"pred_{len(self.calls)}",
            "model": model.description["id"],
            "version": number,
            "digest": model.versions[number - 1]["digest"],
            "device": "cpu",
            "predictions": _predictions(model, rows, number, many=many),
            "usage": {"instances": len(rows)},
            "timing": {"queue_ms": 0.0, "compute_ms": 0.0},
        }

    def _explain(self, made: RecordedCall) -> object:
        return self._explanation(made, made.json["inputs"], made.parts.get("version", "default"))

    def _explain_many(self, made: RecordedCall) -> object:
        version = made.query.get("version", "default")
        told = [self._explanation(made, row, version) for row in made.json["inputs"]]
        result = {
            **{name: told[0][name] for name in ("model", "version", "digest", "device")},
            "rows": len(told),
            "explanations": told,
            "importance": _fake_explanations.importance(told),
            "evaluations": sum(each["evaluations"] for each in told),
        }
        return self._done("explain", result, rows=len(told))

    def _fine_tune(self, made: RecordedCall) -> object:
        options, parts = _fake_fine_tunes.from_call(made.query, made.json)
        rows = sum(len(part.inputs) for part in parts.values())
        base = None if options.base is None else self._base(options.base, options.base_version)
        digest = f"sha256:{hashlib.sha256(made.content + made.path.encode()).hexdigest()}"
        training = _fake_fine_tunes.Training(parts, options, None if base is None else base[1])
        number, is_new = self._published(options, training, digest)
        result = {
            "model": options.name,
            "version": number,
            "digest": digest,
            "is_new": is_new,
            "base": base and base[0],
            "data_sha256": digest.removeprefix("sha256:"),
            **training.result(),
        }
        if result["evaluation"]:
            result["evaluation"] |= {name: result[name] for name in ("model", "version", "digest")}
        interim = {name: result[name] for name in ("curve", "warnings")}
        return self._done("fine-tune", result, rows=rows, interim=interim)

    def _base(self, name: str, selector: str | None) -> tuple[dict[str, Any], _fake_features.Embed]:
        """Return what is told of a base, and what makes its vectors."""
        model = self._named(name)
        number = self._number(model, selector or "default")
        if model.description["task"] != "embedding":
            told = f"{name!r} has the task {model.description['task']}; a base's is embedding"
            raise UnprocessableError(told, code="base_not_embedding", param="base")

        def embed(inputs: Inputs) -> Sequence[float]:
            vector: Sequence[float] = _outputs(model, inputs, number)["embedding"]
            return vector

        return {"model": name, "version": number, "digest": model.versions[number - 1]["digest"]}, embed

    def _published(
        self, options: FineTuneOptions, training: _fake_fine_tunes.Training, digest: str
    ) -> tuple[int, bool]:
        """Put what was trained into the catalogue, unless it is there; return its number and which."""
        name, inputs = options.name.rpartition("~")[2], list(training.parts["train"].inputs[0])
        if name not in self._models:
            given = options.visibility or "private"
            self.add_model(
                name, labels=training.labels, inputs=inputs, task=training.task, versions=0, visibility=given
            )
        model = self._models[name]
        for version in model.versions:
            if version["digest"] == digest:
                return version["version"], False
        number = len(model.versions) + 1
        made = _version(name, number, training.task, training.labels, inputs)
        model.versions.append({**made, "digest": digest, "notes": options.notes, "origin": "trained"})
        model.trained[number] = training.answer
        model.description["latest_version"] = number
        if number == 1 or options.set_default:
            model.default = model.description["default_version"] = number
        return number, True

    def _done(self, kind: str, result: dict[str, Any], *, rows: int, **told: object) -> object:
        """Keep a job that has ended, and return it."""
        job = {
            "id": f"job_{len(self.calls)}",
            "kind": kind,
            "state": "succeeded",
            "revision": 1,
            **{name: result[name] for name in ("model", "version")},
            "progress": {"done": rows, "total": rows, "unit": "row"},
            "result": result,
            **told,
            **dict.fromkeys(("created_at", "expires_at"), _NOW.isoformat()),
        }
        return self._jobs.setdefault(str(job["id"]), job)

    def _explanation(self, made: RecordedCall, inputs: Inputs, version: str) -> dict[str, Any]:
        model = self._find(made)
        number = self._number(model, version)
        _check([inputs], model.inputs, many=False)
        explain = _fake_explanations.Explainer(lambda row: _outputs(model, row, number), made.json)
        return {
            "id": f"expl_{len(self.calls)}",
            "model": model.description["id"],
            "version": number,
            "digest": model.versions[number - 1]["digest"],
            "device": "cpu",
            **explain(inputs),
        }

    def _list_jobs(self, made: RecordedCall) -> object:
        wanted = {name: made.query[name] for name in ("kind", "state") if name in made.query}
        newest_first = reversed(self._jobs.values())
        return _page(job for job in newest_first if all(job[name] == wanted[name] for name in wanted))

    def _get_job(self, made: RecordedCall) -> object:
        if made.parts["job"] not in self._jobs:
            raise NotFoundError(f"there is no job {made.parts['job']!r}", code="job_not_found")
        return self._jobs[made.parts["job"]]


class _FakeTransport(_transport.Transport):
    def __init__(self, base_url: str, answer: Callable[[Call[Any], str], Answer]) -> None:
        super().__init__(base_url)
        self._fake_answer = answer

    def _send(self, call: Call[Any], url: str) -> Answer:
        return self._fake_answer(call, url)


def _recorded(call: Call[Any], url: str) -> RecordedCall:
    operation, parts = call.operation, urlsplit(url)
    names = re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(operation.template)))
    found = names.fullmatch(parts.path)
    content = _content(operation.body)
    return RecordedCall(
        method=operation.method,
        template=operation.template,
        path=f"{parts.path}?{parts.query}" if parts.query else parts.path,
        parts={name: unquote(part) for name, part in found.groupdict().items()} if found else {},
        query=dict(parse_qsl(parts.query)),
        json=json.loads(content) if content and operation.content_type == "application/json" else None,
        content=content,
        headers=call.headers(),
    )


def _content(body: bytes | IO[bytes] | None) -> bytes:
    if body is None or isinstance(body, bytes):
        return body or b""
    body.seek(0)
    return body.read()


def _answer(status: int, body: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> Answer:
    own = {"X-Request-Id": "req_fake", "Content-Type": "application/json"}
    return Answer(status, CaseInsensitiveDict({**own, **headers}), body)


def _json(body: object) -> bytes:
    def plain(value: object) -> object:
        if isinstance(value, BaseModel):
            return value.model_dump(mode="json")
        raise TypeError(
            f"{type(value).__name__} is no JSON; give dicts, lists or objects of maas_client.types"
        )

    return json.dumps(body, default=plain).encode()


def _page(items: Any) -> dict[str, object]:  # noqa: ANN401 - any iterable of wire objects
    return {"object": "list", "data": list(items), "has_more": False, "next_cursor": None}


def _function(answer: AnswerFunction | Outputs) -> AnswerFunction:
    if not callable(answer):
        outputs = answer

        def same(_: Inputs) -> Outputs:
            return outputs

        return same
    return answer


def _predictions(
    model: _Model, rows: Sequence[Inputs], number: int, *, many: bool
) -> list[Mapping[str, Any]]:
    predictions, faults = [], []
    for index, row in enumerate(rows):
        try:
            predictions.append(_outputs(model, row, number))
        except UnprocessableError as error:
            if not many or error.code == "too_many_instances":
                raise
            param = f"instances[{index}]" + (f".{error.param}" if error.param else "")
            faults.append(ErrorDetail(code=error.code or "invalid_input", message=error.message, param=param))
    if faults:
        raise _unprocessable(faults)
    return predictions


def _unprocessable(faults: Sequence[ErrorDetail]) -> UnprocessableError:
    first = faults[0]
    return UnprocessableError(first.message, code=first.code, param=first.param, errors=faults)


def _outputs(model: _Model, row: Inputs, number: int) -> Mapping[str, Any]:
    said = model.trained.get(number, model.answer)(row)
    if not isinstance(said, str):
        return said
    labels = model.description["labels"] or [said]
    if said not in labels:
        raise AssertionError(f"the answer {said!r} is none of the model's labels {labels}")
    rest = (1 - _SURE) / (len(labels) - 1) if len(labels) > 1 else 0.0
    scores = dict.fromkeys(labels, rest) | {said: _SURE if len(labels) > 1 else 1.0}
    return {"label": said, "score": scores[said], "scores": scores}


def _check(rows: Sequence[Inputs], inputs: tuple[str, ...], *, many: bool) -> None:
    faults = [
        ErrorDetail(code=code, message=message, param=f"instances[{index}].{name}" if many else name)
        for index, row in enumerate(rows)
        for code, message, name in _faults(row, inputs)
    ]
    if faults:
        raise UnprocessableError(
            faults[0].message, code="invalid_input", param=faults[0].param, errors=faults if many else ()
        )


def _faults(row: Inputs, inputs: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    for name in inputs:
        if name not in row:
            yield "missing_input", f"the input {name!r} is missing", name
    for name in row:
        if name not in inputs:
            yield "unknown_input", f"the model has no input {name!r}", name


def _alias(model: _Model) -> dict[str, object]:
    return {"name": "default", "version": model.default, "revision": 1, "moved_at": _NOW.isoformat()}


def _signature(inputs: Sequence[str]) -> dict[str, Any]:
    return {"inputs": [{"name": each, "type": "string"} for each in inputs], "outputs": []}


def _version(
    name: str, number: int, task: str, labels: Sequence[str], inputs: Sequence[str]
) -> dict[str, Any]:
    return {
        "model": name,
        "version": number,
        "digest": f"sha256:{number:064x}",
        "task": task,
        "size": 0,
        "notes": f"Version {number} of a fake.",
        "author": "fake",
        "created_at": _NOW.isoformat(),
        "manifest": {
            "task": task,
            "description": "A fake.",
            "license": "none",
            "labels": list(labels),
            "example": dict.fromkeys(inputs, ""),
        },
        "signature": _signature(inputs),
        "tensors": {"inputs": [], "outputs": []},
    }
