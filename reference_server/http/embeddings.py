"""Embeddings as the OpenAI API has them, for its clients; the same as predicting with an embedding model."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Literal

import orjson

from maas_client.types import EmbeddingsRequest, Reply
from reference_server.errors import Unprocessable
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Answer, Call, Cold
from reference_server.http.inference import Pending, Times
from reference_server.http.notices import with_notices
from reference_server.runtime.tasks.embedding import Embedding
from reference_server.runtime.tasks.outputs import check_finite
from reference_server.runtime.work import TaskWork

if TYPE_CHECKING:
    from reference_server.runtime.pool import LoadedModel
    from reference_server.runtime.runner import Tensor
    from reference_server.runtime.tasks import Outputs

routes = Routes("embeddings")

_HEADERS = {"content-type": "application/json", "cache-control": "no-store"}


class EmbeddedText(Reply):
    """One text's vector: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(Reply):
    """The tokens of all texts, as the OpenAI API counts them."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsReply(Reply):
    """The vectors of all texts, in their order, in the OpenAI API's shape."""

    object: Literal["list"]
    data: list[EmbeddedText]
    model: str
    usage: EmbeddingsUsage


@routes.route("POST", "/v1/embeddings", access="predict", inference=True, answers={200: EmbeddingsReply})
def create(call: Call, body: EmbeddingsRequest) -> Pending:
    """Embed texts with the `default` version of a model."""
    services = call.services
    began = services.timer()
    texts = [body.input] if isinstance(body.input, str) else body.input
    _check_count(len(texts), services.settings.max_instances)
    target, loaded = services.serve(call, body.model, None)
    call.capture = target.capture
    if call.may_wait == "nothing" and _size(texts) > loaded.quickly_decoded_bytes:
        raise Cold
    if not isinstance(loaded.task, Embedding):
        raise Unprocessable(
            f"the model {body.model!r:.100} is not for the task embedding; GET /v1/models?task=embedding "
            "lists those that are",
            code="wrong_task",
            param="model",
        )
    instances = [{"text": text} for text in texts]

    def work(other: LoadedModel) -> TaskWork:
        return TaskWork(other.task, other.task.decode(instances, {}))

    write = _as_base64 if body.encoding_format == "base64" else _as_floats

    def encode(outputs: Outputs, _times: Times) -> Answer:
        vectors = outputs.tensors["embedding"]
        check_finite(vectors)
        _check_dimensions(body.dimensions, vectors.shape[1])
        tokens = int(outputs.tensors["tokens"].sum())
        reply = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": write(vector)}
                for index, vector in enumerate(vectors)
            ],
            "model": body.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        # The body is the OpenAI API's own and has no place for it.
        headers = {**_HEADERS, "x-maas-device": loaded.runner.device}
        content = orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY)
        return Answer(200, with_notices(headers, target), content)

    key = (target.exact, target.version, loaded.runner.device)
    return Pending(key, loaded, work(loaded), encode, began, services.timer(), work)


def _size(texts: list[str]) -> int:
    return sum(len(text) for text in texts)


def _as_floats(vector: Tensor) -> Tensor:
    return vector


def _as_base64(vector: Tensor) -> str:
    return base64.b64encode(vector.astype("<f4", copy=False).tobytes()).decode()


def _check_count(count: int, most: int) -> None:
    if count > most:
        raise Unprocessable(
            f"there are {count:,} texts, a call takes at most {most:,}; send them in parts",
            code="too_many_instances",
            param="input",
        )


def _check_dimensions(wanted: int | None, there: int) -> None:
    if wanted not in (None, there):
        raise Unprocessable(
            f"the model's vectors have {there} dimensions and are not shortened; leave `dimensions` out",
            code="unsupported_dimensions",
            param="dimensions",
        )
