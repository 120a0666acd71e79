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
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from unittest import mock

from maas_client import (
    _client,
    _fake_advice,
    _fake_explanations,
    _fake_fine_tunes,
    _fake_jobs,
    _fake_models,
    _fake_predictions,
)
from maas_client._fake_calls import (
    FakeTransport,
    RecordedCall,
    answered,
    as_json,
    async_transport,
    recorded,
)
from maas_client._fake_models import function_of, new_model
from maas_client._fake_world import AnswerFunction, InferFunction, Inputs, Outputs, World
from maas_client._operations._operation import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from maas_client import AsyncClient, Client
    from maas_client._calls import Call
    from maas_client._fake_world import Handler
    from maas_client.errors import MaasError

__all__ = [
    "API_KEY",
    "BASE_URL",
    "AnswerFunction",
    "FakeMaas",
    "InferFunction",
    "Inputs",
    "Outputs",
    "RecordedCall",
]

BASE_URL = "http://fake.maas"
API_KEY = "maas_key_of_a_fake"

_ROUTES: Mapping[str, Handler] = {
    **_fake_models.ROUTES,
    **_fake_predictions.ROUTES,
    **_fake_explanations.ROUTES,
    **_fake_fine_tunes.ROUTES,
    **_fake_advice.ROUTES,
    **_fake_jobs.ROUTES,
}


class FakeMaas:
    """Models, scripted replies and scripted failures in the place of a server.

    It knows the catalogue, versions, aliases and predictions of the models that were added, and explains
    those predictions, in a call or by a job, which is done at once. A fine-tune is trained for real, on the
    words, columns or vectors of some hundred rows, and predicts afterwards. An advice really times the model
    and its variants, in this process, and holds them against each other. Anything else fails the test with an
    AssertionError until `reply` says what the answer is.
    """

    def __init__(self) -> None:
        self._world = World()
        self._replies: dict[str, Answer] = {}
        self._failures: list[tuple[str | None, MaasError]] = []

    @property
    def calls(self) -> list[RecordedCall]:
        """The attempts that reached it, the first one first."""
        return self._world.calls

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
        variants: Mapping[str, AnswerFunction | Outputs] = MappingProxyType({}),
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
            variants: What it could be instead, by the names that an advice gives them: each is what `answer`
                is. An advice times them and holds them against the answer; to apply one makes it a version.
            described: Further fields of `maas_client.types.Model`, such as `description`.
        """
        self._world.models[name] = new_model(
            name,
            answer=function_of(answer),
            infer=infer,
            labels=labels,
            inputs=inputs,
            task=task,
            versions=versions,
            variants={each: function_of(said) for each, said in variants.items()},
            described=described,
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
        self._replies[route] = answered(status, as_json(body), headers or {})

    def fail(self, error: MaasError, *, times: int = 1, route: str | None = None) -> None:
        """Let the next attempts fail; what the SDK repeats, it repeats.

        Args:
            error: What they raise, such as `maas_client.UnavailableError(retry_after=0)`.
            times: How many attempts fail.
            route: Only those of this route, such as `POST /v1/models/{model}/predict`.
        """
        self._failures += [(route, error)] * times

    def _transport(self, base_url: str, *_: object) -> FakeTransport:
        return FakeTransport(base_url, self._answer)

    def _async_transport(self, base_url: str, *_: object) -> object:
        return async_transport(base_url, self._answer)

    def _answer(self, call: Call[Any], url: str) -> Answer:
        made = recorded(call, url)
        self.calls.append(made)
        for index, (route, error) in enumerate(self._failures):
            if route in (None, made.route):
                del self._failures[index]
                raise copy.copy(error)
        if made.route in self._replies:
            return self._replies[made.route]
        if made.route not in _ROUTES:
            raise AssertionError(
                f"FakeMaas has no answer to {made.route}; say one with fake.reply({made.route!r}, ...)"
            )
        said = _ROUTES[made.route](self._world, made)
        return said if isinstance(said, Answer) else answered(200, as_json(said))
