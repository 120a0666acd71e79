"""One adapter for each SDK: make a client, make one call, and the root of its errors."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "sk-secretkey0123456789abcdefghijklmn"
TEXT = "This is a sample text for classification."


@dataclass(frozen=True, slots=True)
class Adapter:
    """How an SDK is used.

    Args:
        package: What pip installs.
        module: What is imported.
        client: Makes a client for a base URL and a timeout in seconds; None for its default.
        call: Makes the one call.
        root: Returns the root of its errors.
        faces: Returns its two classes of client, synchronous and asynchronous, or says what else there is.
        change: Makes a call that changes something, where `call` does not.
    """

    package: str
    module: str
    client: Callable[[str, float | None], Any]
    call: Callable[[Any], Any]
    root: Callable[[], tuple[type[BaseException], ...]]
    faces: Callable[[], tuple[type, type] | str]
    change: Callable[[Any], Any] | None = None


def given(timeout: float | None) -> dict[str, Any]:
    """Return the keyword for a timeout, if there is one."""
    return {} if timeout is None else {"timeout": timeout}


def openai_client(url: str, timeout: float | None) -> Any:
    import openai

    return openai.OpenAI(api_key=KEY, base_url=url, **given(timeout))


def anthropic_client(url: str, timeout: float | None) -> Any:
    import anthropic

    return anthropic.Anthropic(api_key=KEY, base_url=url, **given(timeout))


def mistral_client(url: str, timeout: float | None) -> Any:
    from mistralai.client import Mistral

    return Mistral(api_key=KEY, server_url=url, **({"timeout_ms": int(timeout * 1000)} if timeout else {}))


def hub_client(url: str, timeout: float | None) -> Any:
    from huggingface_hub import InferenceClient

    return InferenceClient(base_url=url, api_key=KEY, **given(timeout))


def triton_client(url: str, timeout: float | None) -> Any:
    import tritonclient.http as triton

    seconds = {} if timeout is None else {"connection_timeout": timeout, "network_timeout": timeout}
    client = triton.InferenceServerClient(url.removeprefix("http://"), **seconds)
    client._probe_headers = {"Authorization": f"Bearer {KEY}"}
    return client


def triton_call(client: Any) -> Any:
    import numpy as np
    import tritonclient.http as triton

    x = triton.InferInput("x", [1], "FP32")
    x.set_data_from_numpy(np.ones(1, np.float32), binary_data=False)
    return client.infer("m", [x], headers=client._probe_headers).as_numpy("y")


def triton_faces() -> tuple[type, type]:
    import tritonclient.http as triton
    from tritonclient.http import aio

    return triton.InferenceServerClient, aio.InferenceServerClient


def requests_client(url: str, timeout: float | None) -> Any:
    import requests

    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {KEY}"
    with contextlib.suppress(AttributeError):
        session._probe = (f"{url}/v1/models/m/predict", timeout)
    return session


def requests_call(client: Any) -> Any:
    url, timeout = client._probe
    response = client.post(url, json={"text": TEXT}, timeout=timeout)
    response.raise_for_status()
    return response.json()["predictions"][0]["label"]


def maas_client(url: str, timeout: float | None) -> Any:
    from maas_client import Client

    return Client(KEY, url, **given(timeout))


def chat(client: Any) -> Any:
    return client.chat.completions.create(model="m", messages=[{"role": "user", "content": TEXT}]).choices[0]


def roots(module: str, *names: str) -> Callable[[], tuple[type[BaseException], ...]]:
    """Return a function that finds the roots of a module's errors."""

    def find() -> tuple[type[BaseException], ...]:
        from importlib import import_module

        return tuple(getattr(import_module(module), name) for name in names)

    return find


def pair(module: str, *names: str) -> Callable[[], tuple[type, type] | str]:
    """Return a function that finds both faces of an SDK."""

    def find() -> tuple[type, type] | str:
        from importlib import import_module

        one, other = (getattr(import_module(module), name) for name in names)
        return one, other

    return find


ADAPTERS = {
    "maas_client": Adapter(
        "maas-client",
        "maas_client",
        maas_client,
        lambda client: client.predict("m", text=TEXT).label,
        roots("maas_client", "MaasError"),
        pair("maas_client", "Client", "AsyncClient"),
        change=lambda client: client.keys.create("probe"),
    ),
    "openai": Adapter(
        "openai",
        "openai",
        openai_client,
        chat,
        roots("openai", "OpenAIError"),
        pair("openai", "OpenAI", "AsyncOpenAI"),
    ),
    "anthropic": Adapter(
        "anthropic",
        "anthropic",
        anthropic_client,
        lambda client: client.messages.create(
            model="m", max_tokens=9, messages=[{"role": "user", "content": TEXT}]
        ).content[0],
        roots("anthropic", "AnthropicError"),
        pair("anthropic", "Anthropic", "AsyncAnthropic"),
    ),
    "mistralai": Adapter(
        "mistralai",
        "mistralai.client",
        mistral_client,
        lambda client: (
            client.chat.complete(model="m", messages=[{"role": "user", "content": TEXT}])
            .choices[0]
            .message.content
        ),
        roots("mistralai.client.errors", "MistralError"),
        lambda: "one class, methods end in `_async`",
    ),
    "huggingface_hub": Adapter(
        "huggingface_hub",
        "huggingface_hub",
        hub_client,
        chat,
        roots("huggingface_hub.errors", "HfHubHTTPError", "InferenceTimeoutError"),
        pair("huggingface_hub", "InferenceClient", "AsyncInferenceClient"),
    ),
    "tritonclient": Adapter(
        "tritonclient",
        "tritonclient.http",
        triton_client,
        triton_call,
        roots("tritonclient.utils", "InferenceServerException"),
        triton_faces,
    ),
    "requests": Adapter(
        "requests",
        "requests",
        requests_client,
        requests_call,
        roots("requests", "RequestException"),
        lambda: "synchronous only",
    ),
}
