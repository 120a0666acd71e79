"""The asynchronous face's only sockets: `httpx2` transports, one pool for each event loop."""

from __future__ import annotations

import asyncio
import math
import os
import ssl
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

try:
    import httpx2
except ModuleNotFoundError as error:
    if error.name != "httpx2":
        raise
    raise ModuleNotFoundError(
        "AsyncClient needs httpx2, which the extra brings: pip install 'maas-client[async]'", name="httpx2"
    ) from error

from maas_client._exchange import (
    MAX_REDIRECTS,
    USER_AGENT,
    accepted,
    chain_of,
    forgiving,
    is_redirect,
    logged_attempt,
    next_place,
    sent_around,
    sink_for,
    size_of,
    too_late,
    without_frames,
)
from maas_client._masking import Masked, scrub
from maas_client._operations._operation import Answer
from maas_client._telemetry import traced
from maas_client.errors import (
    ConfigurationError,
    DroppedError,
    InvalidReplyError,
    MaasError,
    NotSentError,
    RedirectError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
    from typing import IO

    from maas_client._calls import Call
    from maas_client._operations._operation import Result, Sink

_FOREIGN = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError)
_NEVER_SENT = (
    httpx2.ConnectError,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
)
_CHUNK = 2**18
# httpcore2 2.16 closes the socket of a TLS handshake that times out, and not of one that is cancelled: so
# connecting has a limit of its own, which ends before the call's by this share of what is left, and this many
# seconds at most. A busy machine's event loop wakes up tens of milliseconds late and finds both limits past.
_HANDSHAKE_SHARE = 0.1
_MOST_HANDSHAKE_SLACK = 0.1
_POOL = httpx2.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=30)


@dataclass(slots=True)
class AsyncTransport:
    """Connections to one service, shared by the tasks of an event loop and not across a fork.

    Args:
        base_url: Where the service is, without a slash at the end.
        verify: True for the default authorities, the path of others, False for no check.
        proxies: Proxy URLs by scheme, as `requests` takes them.
    """

    base_url: str
    verify: bool | str = True
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    _pools: dict[tuple[int, asyncio.AbstractEventLoop], httpx2.AsyncHTTPTransport] = field(
        default_factory=dict, repr=False, init=False
    )

    async def call(self, call: Call[Result]) -> Result:
        """Make a call and return its result.

        Raises:
            MaasError: Whatever went wrong; nothing of the libraries below comes through.
        """
        with traced(call, self.base_url):
            try:
                answer = await self._attempt(call)
            except MaasError as error:
                answer = await self._repeat(call, error)
            return call.operation.read(answer)

    async def stream(self, call: Call[None], *, silence: float) -> AsyncGenerator[bytes]:
        """Make a call once, and yield the body of its answer as it comes.

        Args:
            call: It is not repeated: whoever reads knows from where to go on.
            silence: Seconds without a byte after which the connection counts as broken.

        Raises:
            MaasError: Whatever went wrong; nothing of the libraries below comes through.
        """
        url = f"{self.base_url}{call.operation.path}"
        with logged_attempt(call) as outcome:
            async with _heard(call, silence), _bounded(call, url):
                response = await self._pool().handle_async_request(_request(call, url))
                failed = response.status_code >= HTTPStatus.MULTIPLE_CHOICES
                body = await _whole(response) if failed else b""
            outcome.answered(accepted(call, Answer(response.status_code, response.headers, body)))
            if failed:
                raise RedirectError(f"{call.name} was sent elsewhere", status=response.status_code)
            try:
                pieces = aiter(response.aiter_raw())
                while (piece := await _within(silence, pieces, call, url)) is not None:
                    yield piece
            finally:
                with suppress(*_FOREIGN):
                    await response.aclose()

    async def close(self) -> None:
        """Close this event loop's idle connections; a later call opens new ones."""
        if pool := self._pools.pop(_here(), None):
            await pool.aclose()

    async def _repeat(self, call: Call[Any], failure: MaasError) -> Answer:
        from tenacity import AsyncRetrying

        from maas_client._retry import POLICY, tell

        failures = [failure]

        async def attempt(call: Call[Any]) -> Answer:
            if failures:
                raise failures.pop()
            return await self._attempt(call)

        try:
            return await AsyncRetrying(sleep=asyncio.sleep, **POLICY)(attempt, call)
        except MaasError as error:
            tell(call, error, None)
            raise

    async def _attempt(self, call: Call[Any]) -> Answer:
        with logged_attempt(call) as outcome:
            return outcome.answered(await self._exchange(call))

    async def _exchange(self, call: Call[Any]) -> Answer:
        url = f"{self.base_url}{call.operation.path}"
        for _ in range(MAX_REDIRECTS + 1):
            answer = call.answer = await self._send(call, url)
            if not is_redirect(answer.status):
                return accepted(call, answer)
            url = next_place(call, url, answer)
        raise sent_around(call, answer)

    async def _send(self, call: Call[Any], url: str) -> Answer:
        async with _bounded(call, url):
            response = await self._pool().handle_async_request(_request(call, url))
            sink = sink_for(call, response.status_code)
            body = await _whole(response) if sink is None else b""
        answer = Answer(response.status_code, response.headers, body)
        if sink is not None:
            await _fill(sink, call, url, response, answer)
        return answer

    def _pool(self) -> httpx2.AsyncHTTPTransport:
        # A connection belongs to its event loop, and a forked child must not use its parent's.
        here = _here()
        if (pool := self._pools.get(here)) is None:
            for place in [place for place in self._pools if place[0] != here[0] or place[1].is_closed()]:
                del self._pools[place]
            pool = self._pools[here] = self._new_pool()
        return pool

    def _new_pool(self) -> httpx2.AsyncHTTPTransport:
        return httpx2.AsyncHTTPTransport(
            verify=_tls_context(self.verify), limits=_POOL, proxy=self._proxy(), trust_env=False
        )

    def _proxy(self) -> str | None:
        if not self.proxies:
            return None
        from requests.utils import select_proxy

        return select_proxy(self.base_url, dict(self.proxies))


@asynccontextmanager
async def _bounded(call: Call[Any], url: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_left(call)):
            yield
    except TimeoutError as error:
        raise too_late(call) from without_frames(error)
    except _FOREIGN as error:
        raise _ours(call, url, error) from without_frames(error)


async def _whole(response: httpx2.Response) -> bytes:
    try:
        return await response.aread()
    finally:
        await response.aclose()


async def _fill(sink: Sink, call: Call[Any], url: str, response: httpx2.Response, answer: Answer) -> None:
    try:
        with forgiving(call, sink):
            sink.begin(answer)
            pieces = aiter(response.aiter_raw())
            while (piece := await _next(pieces, call, url)) is not None:
                await asyncio.to_thread(sink.write, piece)
                sink.advance(len(piece))
    finally:
        # A broken connection may not even close well, and then the first failure is what counts.
        with suppress(*_FOREIGN):
            await response.aclose()


async def _next(pieces: AsyncIterator[bytes], call: Call[Any], url: str) -> bytes | None:
    async with _bounded(call, url):
        return await anext(pieces, None)


async def _within(silence: float, pieces: AsyncIterator[bytes], call: Call[Any], url: str) -> bytes | None:
    async with _heard(call, silence):
        return await _next(pieces, call, url)


@asynccontextmanager
async def _heard(call: Call[Any], silence: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(silence):
            yield
    except MaasError:
        raise
    except TimeoutError as error:
        raise DroppedError(f"nothing was heard from {call.name} for {silence:g} s") from without_frames(error)


async def aside(act: Callable[[], Result]) -> Result:
    """Do work that takes long in a thread, so that the event loop goes on."""
    return await asyncio.to_thread(act)


async def pause(seconds: float) -> None:
    """Wait."""
    await asyncio.sleep(seconds)


def _here() -> tuple[int, asyncio.AbstractEventLoop]:
    return os.getpid(), asyncio.get_running_loop()


def _left(call: Call[Any]) -> float | None:
    return None if call.ends_at == math.inf else max(0.0, call.ends_at - time.monotonic())


def _request(call: Call[Any], url: str) -> httpx2.Request:
    headers = {"User-Agent": USER_AGENT, **call.headers()}
    body = call.operation.body
    if body is not None:
        headers["Content-Length"] = str(size_of(body))
    return httpx2.Request(
        call.operation.method,
        url,
        headers=[(name.encode(), _clear(value)) for name, value in headers.items()],
        content=body if body is None or isinstance(body, bytes) else _chunks(body),
        extensions={"timeout": _limits(call)},
    )


def _limits(call: Call[Any]) -> dict[str, float | None]:
    # A limit of reading would start anew with every read; the budget does not.
    left = _left(call)
    connect = None if left is None else left - min(left * _HANDSHAKE_SHARE, _MOST_HANDSHAKE_SLACK)
    return {"connect": connect, "read": None, "write": None, "pool": None}


def _clear(value: str) -> bytes:
    return (value.reveal() if isinstance(value, Masked) else value).encode("ascii")


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read, _CHUNK):
        yield chunk


def _tls_context(verify: bool | str) -> ssl.SSLContext:  # noqa: FBT001 - `verify` as requests defines it
    if verify is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    # The authorities that the synchronous face trusts.
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    place = Path(DEFAULT_CA_BUNDLE_PATH if verify is True else verify)
    try:
        return ssl.create_default_context(
            cafile=None if place.is_dir() else str(place), capath=str(place) if place.is_dir() else None
        )
    except OSError as error:
        raise ConfigurationError(f"verify names {str(place)!r}, whose authorities cannot be read") from error


def _ours(call: Call[Any], url: str, error: Exception) -> MaasError:
    if isinstance(error, httpx2.ConnectTimeout):
        return too_late(call)
    said = scrub(_said(error), call.secrets)
    if isinstance(error, _NEVER_SENT):
        host = "://".join(urlsplit(url)[:2])
        return NotSentError(f"{call.name} could not be sent to {host}: {said}")
    if isinstance(error, httpx2.DecodingError):
        return InvalidReplyError(f"the answer to {call.name} cannot be unpacked: {said}")
    if isinstance(error, httpx2.RemoteProtocolError) and "illegal" in said:
        return InvalidReplyError(f"{call.name} was not answered in HTTP: {said}")
    return DroppedError(f"the connection broke during {call.name}: {said}")


def _said(error: Exception) -> str:
    last = chain_of(error)[-1]
    return f"{type(last).__name__}: {str(last) or error}"
