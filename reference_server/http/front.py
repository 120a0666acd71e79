"""The front: one event loop that receives bodies, runs inference in lanes and hands the rest to Flask.

The loop reads every body itself, within limits of size and time, so that slow senders hold no thread, and it
answers 504 at a deadline even while a kernel still runs: the lane then counts as busy until it returns.
It speaks RSGI, granian's interface.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from maas_client._open_inference import JSON_LENGTH
from reference_server.errors import InvalidRequest, ServiceError, Unauthenticated, Unavailable
from reference_server.http import bodies, inference, pipeline
from reference_server.http.blueprints import UPLOAD
from reference_server.http.bridge import Bridge
from reference_server.http.errors import answer_for, internal_error
from reference_server.http.exchange import Answer, Call, Cold, Loading, Request
from reference_server.http.inference import Pending
from reference_server.http.spool import Spool
from reference_server.runtime.lanes import Ticket
from reference_server.runtime.pool import again, still_loading

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from flask import Flask

    from reference_server.app import Services
    from reference_server.http.bridge import HTTPProtocol, Scope
    from reference_server.http.endpoints import Endpoint
    from reference_server.runtime.pool import LoadedModel

_FLASK_THREADS = 8
# They wait for the store or decode what is large; as many as that may be at a time.
_DECODER_THREADS = 4
# What an event loop may decode in passing: 16 KiB of JSON take it some 50 µs.
_SMALL_BYTES = 16 * 2**10
_DIGITS = 10
# Paths of which it is known what they are: regular expressions take 10 µs for a request.
_MOST_MATCHED = 10_000
# A publish may try a model for seconds; more than two at a time would starve the lanes.
_UPLOAD_THREADS = 2
# A larger body is read only for those whose credential holds.
_ANONYMOUS_BYTES = 64 * 2**10
# Most clients read no answer before they have sent all: swallow this much so that they see the refusal.
_SWALLOWED_BYTES = 32 * 2**20
_SWALLOWED_SECONDS = 10.0

_log = logging.getLogger(__name__)


class Front:
    """An RSGI application before a Flask one.

    Args:
        services: What the endpoints use.
        flask: The same endpoints and everything else, as a WSGI application.
        on_close: Called once when the worker ends.
    """

    def __init__(self, services: Services, flask: Flask, *, on_close: Callable[[], None]) -> None:
        settings = services.settings
        self._services = services
        self._settings = settings
        self._on_close = on_close
        self._decoders = ThreadPoolExecutor(_DECODER_THREADS, thread_name_prefix="decoder")
        self._mailbox = _Mailbox()
        self._threads = ThreadPoolExecutor(_FLASK_THREADS, thread_name_prefix="flask")
        self._upload_threads = ThreadPoolExecutor(_UPLOAD_THREADS, thread_name_prefix="upload")
        self._flask = Bridge(flask.wsgi_app, self._threads)
        self._flask_uploads = Bridge(flask.wsgi_app, self._upload_threads)
        self._most_waiting = settings.lanes + settings.queue_limit
        self._waiting = 0
        self._own = [
            endpoint
            for endpoint in services.endpoints
            if endpoint.inference or endpoint.body_kind == "upload"
        ]
        self._patience = _Patience(settings.body_seconds)
        self._matched: dict[str, tuple[Endpoint | None, Mapping[str, str]]] = {}

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request."""
        call, path = self._match(scope)
        request = call.request if call else self._request(scope)
        try:
            if call is None:
                await self._flask(scope, protocol, await self._body(scope, protocol, call))
            elif call.endpoint.inference:
                _send(protocol, await self._infer(scope, protocol, call, path))
            else:
                await self._receive(scope, protocol, call)
        except ServiceError as error:
            await _swallow(protocol, scope)
            _send(protocol, pipeline.refuse(self._services, request, error))
        except Exception:  # noqa: BLE001 - logged whole, shown to nobody
            # The last line of defence, as in the pipeline.
            _log.exception("the request failed", extra={"fields": {"request_id": request.id}})
            _send(protocol, pipeline.refuse(self._services, request, internal_error()))

    def __rsgi_del__(self, _loop: asyncio.AbstractEventLoop) -> None:
        """Finish what runs and close the services."""
        for executor in (self._threads, self._upload_threads, self._decoders):
            executor.shutdown()
        self._on_close()

    def _match(self, scope: Scope) -> tuple[Call | None, Mapping[str, str]]:
        if scope.method != "POST":
            return None, {}
        found = self._matched.get(scope.path)
        if found is None:
            found = self._search(scope.path)
            if len(self._matched) < _MOST_MATCHED:
                self._matched[scope.path] = found
        endpoint, path = found
        return Call(self._services, endpoint, self._request(scope)) if endpoint else None, path

    def _search(self, path: str) -> tuple[Endpoint | None, Mapping[str, str]]:
        for endpoint in self._own:
            if (match := endpoint.pattern.fullmatch(path)) is not None:
                return endpoint, match.groupdict()
        return None, {}

    def _request(self, scope: Scope) -> Request:
        return Request(
            id=self._services.new_request_id(),
            method=scope.method,
            path=scope.path,
            query=scope.query_string,
            headers=dict(scope.headers.items()),
            address=scope.client,
            received=self._services.timer(),
        )

    async def _infer(
        self, scope: Scope, protocol: HTTPProtocol, call: Call, path: Mapping[str, str]
    ) -> Answer:
        if self._waiting >= self._most_waiting:
            raise Unavailable(
                "every lane is busy and the queue is full; try again in a moment",
                code="queue_full",
                retry_after=1.0,
            )
        seconds = pipeline.budget(self._services, call.request.headers)
        self._waiting += 1
        try:
            body = await self._body(scope, protocol, call)
            call.request.received, call.request.body = self._services.timer(), body
            return await self._answer(protocol, call, path, body, seconds)
        finally:
            self._waiting -= 1

    async def _answer(
        self, protocol: HTTPProtocol, call: Call, path: Mapping[str, str], body: bytes, seconds: float
    ) -> Answer:
        small = _is_small(body, call.request.headers)
        begun = self._begin_here(call, path) if small else None
        if begun is None:
            try:
                async with asyncio.timeout(seconds):
                    begun = await self._begin_in_thread(call, path)
            except TimeoutError:
                return pipeline.finish(call, answer_for(inference.too_late(seconds), call.request))
        if not isinstance(begun, Pending):
            return pipeline.finish(call, begun)
        if small and begun.model.is_quick(len(body)):
            return pipeline.finish(call, inference.run_here(call, begun))
        return pipeline.finish(call, await self._in_lane(protocol, call, begun, seconds))

    def _begin_here(self, call: Call, path: Mapping[str, str]) -> Answer | Pending | None:
        """Decode a call on the event loop, if nothing has to be waited for."""
        call.may_wait = "nothing"
        try:
            return pipeline.begin(call, path)
        except Cold:
            return None

    async def _begin_in_thread(self, call: Call, path: Mapping[str, str]) -> Answer | Pending:
        """Decode a call in a thread, and wait here while its model is loaded."""
        call.may_wait = "store"
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await loop.run_in_executor(self._decoders, pipeline.begin, call, path)
            except Loading as loading:
                if (failure := await self._loaded(loading)) is not None:
                    return answer_for(failure, call.request)

    async def _loaded(self, loading: Loading) -> Unavailable | None:
        """Wait until a model is loaded; return why it is not."""
        future = asyncio.wrap_future(loading.model)
        # Others wait for the same one: what ends one call must not end the load.
        done, _ = await asyncio.wait((future,), timeout=self._services.pool.wait_seconds)
        if not done:
            future.add_done_callback(_retrieve)
            return still_loading()
        failure = future.exception()
        return again(failure) if isinstance(failure, Unavailable) else None

    async def _in_lane(self, protocol: HTTPProtocol, call: Call, pending: Pending, seconds: float) -> Answer:
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Answer] = loop.create_future()

        def done(ticket: Ticket) -> None:
            self._mailbox.put(loop, answered, inference.complete(call, pending, ticket))

        ticket = Ticket(pending.work, call.deadline, done)
        self._services.lanes.submit(pending.model, ticket)
        gone = asyncio.ensure_future(protocol.client_disconnect())
        left = seconds - (self._services.timer() - call.request.received)
        try:
            await asyncio.wait((answered, gone), timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            ticket.drop()
        if answered.done():
            return answered.result()
        # If the client has gone, nobody reads this; the log does.
        return inference.failed(call, pending, inference.too_late(seconds))

    async def _receive(self, scope: Scope, protocol: HTTPProtocol, call: Call) -> None:
        await self._in_thread(pipeline.authorize, call)
        limit = self._settings.max_package_bytes
        if (_declared_length(scope) or 0) > limit:
            raise bodies.body_too_large(limit)
        with Spool(max_bytes=limit) as upload:
            async for chunk in _chunks(protocol, self._settings.body_seconds):
                upload.write(chunk)
            await self._flask_uploads(scope, protocol, b"", **{UPLOAD: upload})

    async def _body(self, scope: Scope, protocol: HTTPProtocol, call: Call | None) -> bytes:
        length = _declared_length(scope)
        if length == 0:
            return b""
        limit = self._settings.max_body_bytes
        if length is None or length > _ANONYMOUS_BYTES:
            limit = await self._allowance(scope, call)
        if length is not None and length > limit:
            raise bodies.body_too_large(limit)
        return await self._patience.wait(protocol() if length is not None else _collect(protocol, limit))

    async def _allowance(self, scope: Scope, call: Call | None) -> int:
        if call is not None and self._services.authenticate.known(scope.headers.get("authorization")):
            return self._settings.max_body_bytes
        try:
            if call is not None:
                await self._in_thread(pipeline.authorize, call)
            else:
                await self._in_thread(self._services.authenticate, scope.headers.get("authorization"))
        except Unauthenticated:
            if call is not None:
                raise
            return min(_ANONYMOUS_BYTES, self._settings.max_body_bytes)
        return self._settings.max_body_bytes

    async def _in_thread(self, function: Callable[..., object], *arguments: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


class _Patience:
    """Bounds how long bodies may take to arrive, by one timer for all of them.

    A timer for each (`asyncio.timeout`) takes 9 µs of a request, this half of one.

    Args:
        seconds: How long; a body may take up to a tenth longer.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, body: Awaitable[bytes]) -> bytes:
        """Return a body.

        Raises:
            InvalidRequest: It took too long.
        """
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("bodies are read in tasks")
        self._waiting[task] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds / 10, self._look, loop)
        try:
            return await body
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            raise _too_slow(self._seconds) from None
        finally:
            self._late.discard(task)
            del self._waiting[task]

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task, until in list(self._waiting.items()):
            if until <= now and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._timer = loop.call_later(self._seconds / 10, self._look, loop) if self._waiting else None


class _Mailbox:
    """Brings answers from lanes to the event loop, waking it once for all that are there."""

    def __init__(self) -> None:
        self._arrived: deque[tuple[asyncio.Future[Answer], Answer]] = deque()
        self._called = False

    def put(self, loop: asyncio.AbstractEventLoop, waiting: asyncio.Future[Answer], answer: Answer) -> None:
        """Bring one; called in any thread."""
        self._arrived.append((waiting, answer))
        if not self._called:
            self._called = True
            loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        # First, so that what arrives from here on wakes the loop again.
        self._called = False
        while self._arrived:
            waiting, answer = self._arrived.popleft()
            if not waiting.done():
                waiting.set_result(answer)


def _is_small(body: bytes, headers: Mapping[str, str]) -> bool:
    """Return whether a body's JSON is small; raw tensors behind it are never looked through."""
    if "content-encoding" in headers:
        return False
    length = headers.get(JSON_LENGTH.lower(), "")
    is_number = length.isascii() and length.isdigit() and len(length) < _DIGITS
    return (int(length) if is_number else len(body)) <= _SMALL_BYTES


def _retrieve(future: asyncio.Future[LoadedModel]) -> None:
    """Look at a load's failure, which others are told of, so that asyncio does not call it forgotten."""
    if not future.cancelled():
        future.exception()


def _declared_length(scope: Scope) -> int | None:
    length: str | None = scope.headers.get("content-length")
    if length is not None:
        return int(length)
    return None if "transfer-encoding" in scope.headers else 0


async def _collect(protocol: HTTPProtocol, limit: int) -> bytes:
    body = bytearray()
    async for chunk in protocol:
        body += chunk
        if len(body) > limit:
            raise bodies.body_too_large(limit)
    return bytes(body)


async def _chunks(protocol: HTTPProtocol, seconds: float) -> AsyncIterator[bytes]:
    chunks = aiter(protocol)
    while True:
        try:
            async with asyncio.timeout(seconds):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _too_slow(seconds) from None
        yield chunk


async def _swallow(protocol: HTTPProtocol, scope: Scope) -> None:
    if _declared_length(scope) == 0:
        return
    swallowed = 0
    try:
        async with asyncio.timeout(_SWALLOWED_SECONDS):
            async for chunk in protocol:
                swallowed += len(chunk)
                if swallowed > _SWALLOWED_BYTES:
                    return
    except TimeoutError:
        return


def _send(protocol: HTTPProtocol, answer: Answer) -> None:
    protocol.response_bytes(answer.status, list(answer.headers.items()), answer.body)


def _too_slow(seconds: float) -> InvalidRequest:
    return InvalidRequest(
        f"the body did not arrive within {seconds:g} s; send it faster or in parts", code="body_too_slow"
    )
