"""The front: one event loop that runs inference at once or in lanes, and hands the rest to Flask.

What arrives in one turn of the loop is answered after all of it has been read: models then run one after the
other, with nothing of the system's between them (docs/performance.md). Slow senders hold no thread, and at a
deadline the caller gets 504 even while a kernel still runs: the lane counts as busy until it returns.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from maas_client._open_inference import JSON_LENGTH
from reference_server.errors import ServiceError, Unauthenticated, Unavailable
from reference_server.http import auditing, bodies, inference, pipeline
from reference_server.http.addresses import client_address
from reference_server.http.blueprints import CREDENTIAL, FAILURE, STANDS_FOR, UPLOAD
from reference_server.http.bridge import Bridge
from reference_server.http.errors import answer_for, internal_error
from reference_server.http.exchange import Call, Cold, Loading, Request
from reference_server.http.inference import Pending
from reference_server.http.job_events import EVENT_STREAM, JobStream, Watch
from reference_server.http.spool import Spool
from reference_server.http.wire import ClientGone
from reference_server.open_files import most_connections
from reference_server.runtime.lanes import Ticket
from reference_server.runtime.pool import again, still_loading

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from flask import Flask

    from reference_server.app import Services
    from reference_server.http.connection import Connection
    from reference_server.http.endpoints import Endpoint
    from reference_server.http.exchange import Answer
    from reference_server.http.wire import Exchange
    from reference_server.runtime.pool import LoadedModel

_FLASK_THREADS = 8
# They wait for the store or decode what is large; as many as that may be at a time.
_DECODER_THREADS = 4
# A publish may try a model for seconds; more than two at a time would starve the lanes.
_UPLOAD_THREADS = 2
# What an event loop may decode in passing: 16 KiB of JSON take it some 50 µs.
_SMALL_BYTES = 16 * 2**10
_DIGITS = 10
_JSON_LENGTH = JSON_LENGTH.lower()
# After so many turns with one call each, calls are served as they come; as often it is looked whether they
# still come alone.
_LONELY_TURNS = 16
# Between so many calls the loop reads and writes; for others they take some milliseconds.
_MOST_AT_ONCE = 64
# Paths of which it is known what they are: regular expressions take 10 µs for a request.
_MOST_MATCHED = 10_000
_MOST_CHARACTERS = 400
# A larger body is read only for those whose credential holds.
_ANONYMOUS_BYTES = 64 * 2**10
# What may wait for Flask's threads; of log-ins, the slowest, they answer some twenty a second.
_MOST_OTHERS = 256
# What the paths of event streams end in.
_EVENTS = "/events"
# How often connections are looked at for patience that has ended, at least.
_LOOK_SECONDS = 0.5

_log = logging.getLogger(__name__)
ResultT = TypeVar("ResultT")
# What finds another credential than the header, by path and headers.
_FindCredential: TypeAlias = "Callable[[str, Mapping[str, str]], str | None]"
# What tells the path of the endpoint that a page hands a request on to, by method and path.
_StandsFor: TypeAlias = "Callable[[str, str], str | None]"
_FORM = "multipart/form-data"


class Front:
    """What answers the requests of all connections.

    Args:
        services: What the endpoints use.
        flask: The same endpoints and everything else, as a WSGI application.
    """

    def __init__(self, services: Services, flask: Flask) -> None:
        settings = services.settings
        self.body_seconds = settings.body_seconds
        # Set when the port is about to close: each answer is then the last on its connection.
        self.is_parting = False
        # RFC 6797: over plain HTTP it is not to be sent.
        seconds = settings.hsts_seconds
        self.secure_header = f"strict-transport-security: max-age={seconds}\r\n" if seconds else ""
        self._services = services
        self._settings = settings
        self._decoders = ThreadPoolExecutor(_DECODER_THREADS, thread_name_prefix="decoder")
        self._threads = ThreadPoolExecutor(_FLASK_THREADS, thread_name_prefix="flask")
        self._upload_threads = ThreadPoolExecutor(_UPLOAD_THREADS, thread_name_prefix="upload")
        self._credential: _FindCredential = flask.extensions.get(CREDENTIAL, _no_other)
        self._stands_for: _StandsFor = flask.extensions.get(STANDS_FOR, _nothing)
        self._flask = Bridge(flask.wsgi_app, self._threads)
        self._flask_uploads = Bridge(flask.wsgi_app, self._upload_threads)
        self._own = [
            endpoint
            for endpoint in services.endpoints
            if endpoint.inference or endpoint.body_kind == "upload"
        ]
        self._streams = [each for each in services.endpoints if each.produces == EVENT_STREAM]
        self._instant = {each.path: each for each in services.endpoints if each.instant}
        self._watch = Watch(services, self._threads)
        self._matched: dict[str, tuple[Endpoint | None, Mapping[str, str]]] = {}
        self._most_waiting = settings.lanes + settings.queue_limit
        self.waiting = 0
        # Requests that Flask has not answered yet, and the bytes kept free for the bodies of all.
        self._others = self._reserved = 0
        self._most_connections = min(settings.max_connections, most_connections())
        self._arrived: deque[Exchange] = deque()
        # Turns of the loop in which calls arrived, and the last in which there were several.
        self._turns = self._crowded = 0
        self.mailbox = _Mailbox()
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: set[Connection] = set()
        self._looking: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Finish what runs in threads."""
        for executor in (self._threads, self._upload_threads, self._decoders):
            executor.shutdown()

    # What connections call.

    def watch(self, connection: Connection) -> None:
        """End a connection's waits when its patience has ended."""
        self._connections.add(connection)
        if self._looking is None:
            self._look_later(connection.loop)

    def forget(self, connection: Connection) -> None:
        """Watch no more."""
        self._connections.discard(connection)

    @property
    def crowding(self) -> int:
        """How many connections there are beyond those that there may be; 0 or less while there is room."""
        return len(self._connections) - self._most_connections

    def begin(self, exchange: Exchange) -> None:
        """Take a request whose head has arrived."""
        call, path = self._match(exchange)
        request = call.request if call else self._request(exchange)
        exchange.context = call, path, request
        if exchange.length is None or exchange.length > _ANONYMOUS_BYTES:
            try:
                self._reserve(exchange, call)
            except Unavailable as error:
                self.refuse(exchange, error)
                return
        if call is not None and call.endpoint.inference and self._may_come(exchange):
            exchange.when_whole(self._queue_here)
        elif call is not None and call.endpoint.instant:
            _send(exchange, pipeline.handle(call, path))
        elif call is not None and call.endpoint.produces == EVENT_STREAM:
            self._start(exchange, self._follow(exchange, call, path))
        elif call is not None and not call.endpoint.inference:
            self._start(exchange, self._receive(exchange, call))
        else:
            self._start(exchange, self._serve(exchange, call))

    def release(self, exchange: Exchange) -> None:
        """Take back what was kept free for a body."""
        self._reserved -= exchange.reserved
        exchange.reserved = 0

    def refuse(self, exchange: Exchange, error: ServiceError) -> None:
        """Answer a request with a failure."""
        call, path, request = exchange.context or (None, {}, self._request(exchange))
        if call is not None:
            auditing.denied(call, path, error)
            _send(exchange, pipeline.finish(call, answer_for(error, request)))
        else:
            _send(exchange, pipeline.refuse(self._services, request, error))

    def report(self, error: BaseException, request_id: str | None = None) -> None:
        """Log a defect, whole."""
        _log.error("the request failed", exc_info=error, extra={"fields": {"request_id": request_id}})

    def fail(self, exchange: Exchange, error: Exception) -> None:
        """Answer a request that met a defect: the last line of defence, as in the pipeline."""
        self.report(error, exchange.context[2].id if exchange.context else None)
        self.refuse(exchange, internal_error())

    # Which way a request takes.

    def _match(self, exchange: Exchange) -> tuple[Call | None, Mapping[str, str]]:
        if exchange.method != "POST":
            return self._match_read(exchange)
        found = self._matched.get(exchange.path)
        if found is None:
            found = self._search(exchange.path)
            if found[0] is not None and len(exchange.path) <= _MOST_CHARACTERS:
                if len(self._matched) >= _MOST_MATCHED:
                    self._matched.clear()
                self._matched[exchange.path] = found
        endpoint, path = found
        if endpoint is None:
            return self._match_page(exchange, self._own)
        return Call(self._services, endpoint, self._request(exchange)), path

    def _match_read(self, exchange: Exchange) -> tuple[Call | None, Mapping[str, str]]:
        if exchange.method != "GET" or exchange.length != 0:
            return None, {}
        endpoint = self._instant.get(exchange.path)
        if endpoint is not None:
            return Call(self._services, endpoint, self._request(exchange)), {}
        if exchange.path.endswith(_EVENTS):
            for endpoint in self._streams:
                if (match := endpoint.pattern.fullmatch(exchange.path)) is not None:
                    return Call(self._services, endpoint, self._request(exchange)), match.groupdict()
            return self._match_page(exchange, self._streams)
        return None, {}

    def _match_page(
        self, exchange: Exchange, endpoints: list[Endpoint]
    ) -> tuple[Call | None, Mapping[str, str]]:
        """Find the endpoint that a page stands for, called by whoever its cookie says."""
        stands_for = self._stands_for(exchange.method, exchange.path)
        credential = stands_for and self._credential(exchange.path, exchange.headers)
        if stands_for is None or credential is None:
            return None, {}
        for endpoint in endpoints:
            if (match := endpoint.pattern.fullmatch(stands_for)) is not None:
                request = self._request(exchange)
                request.headers = {**request.headers, "authorization": credential}
                return Call(self._services, endpoint, request), match.groupdict()
        return None, {}

    def _search(self, path: str) -> tuple[Endpoint | None, Mapping[str, str]]:
        for endpoint in self._own:
            if (match := endpoint.pattern.fullmatch(path)) is not None:
                return endpoint, match.groupdict()
        return None, {}

    def _request(self, exchange: Exchange) -> Request:
        address, trusted = exchange.connection.address, self._services.trusted_proxies
        if trusted:
            address = client_address(address, exchange.headers, trusted)
        return Request(
            id=self._services.new_request_id(),
            method=exchange.method,
            path=exchange.path,
            query=exchange.query,
            headers=exchange.headers,
            address=address,
            received=self._services.timer(),
        )

    def _reserve(self, exchange: Exchange, call: Call | None) -> None:
        """Keep free what a large body will take; packages lie on the disk and take nothing."""
        if call is not None and not call.endpoint.inference:
            return
        wanted = min(exchange.length or self._settings.max_body_bytes, self._settings.max_body_bytes)
        if self._reserved and self._reserved + wanted > self._settings.waiting_bytes:
            raise _overloaded("the bodies of the requests under way take all the memory that they may")
        self._reserved += wanted
        exchange.reserved = wanted

    def _may_come(self, exchange: Exchange) -> bool:
        """Whether the body may be read without asking anybody."""
        length = exchange.length
        if length is None:
            return False
        if length <= _ANONYMOUS_BYTES:
            return True
        known = self._services.authenticate.known(exchange.headers.get("authorization"))
        return known is not None and length <= self._settings.max_body_bytes

    # Inference: all that has arrived, in this turn of the loop.

    def _queue_here(self, exchange: Exchange) -> None:
        self._arrived.append(exchange)
        if len(self._arrived) > 1:
            return
        self._turns += 1
        if self._turns - self._crowded < _LONELY_TURNS or self._turns % _LONELY_TURNS == 0:
            exchange.connection.loop.call_soon(self._serve_arrived)
        else:
            # Nobody came beside the last ones: waiting for the turn's end would only cost the loop another.
            self._serve_arrived()

    def _serve_arrived(self) -> None:
        """Take what has arrived through each step together.

        A step's code and data are then in the processor's caches for all but the first: 32 calls of a tiny
        model take a third less time than one after the other.
        """
        taken = [self._arrived.popleft() for _ in range(min(len(self._arrived), _MOST_AT_ONCE))]
        if len(taken) > 1:
            self._crowded = self._turns
        quick = [each for exchange in taken if (each := self._guard(self._begin, exchange)) is not None]
        ran = [run for one in quick if (run := self._guard(_run, *one)) is not None]
        made = [answer for one in ran if (answer := self._guard(_complete, *one)) is not None]
        for one in made:
            self._guard(_answer, *one)
        if self._arrived:
            self._arrived[0].connection.loop.call_soon(self._serve_arrived)

    def _guard(
        self, step: Callable[..., ResultT | None], exchange: Exchange, *arguments: object
    ) -> ResultT | None:
        """Do a step for a request; if it fails, answer so."""
        try:
            return step(exchange, *arguments)
        except ServiceError as error:
            self.refuse(exchange, error)
        except Exception as error:  # noqa: BLE001 - logged whole, shown to nobody
            self.fail(exchange, error)
        return None

    def _begin(self, exchange: Exchange) -> tuple[Exchange, Call, Pending] | None:
        """Decode a call; return it if it is to be run at once, else send it on its way."""
        call, path, request = exchange.context
        body = request.body = exchange.body
        request.received = self._services.timer()
        small = _is_small(body, request.headers)
        begun = self._begin_here(call, path) if small else None
        if begun is None:
            self._check_room()
            self.waiting += 1
            self._start(exchange, self._infer_slowly(exchange))
        elif not isinstance(begun, Pending):
            _answer(exchange, call, begun)
        elif len(body) < begun.model.quick_bytes:
            return exchange, call, begun
        else:
            self._check_room()
            _InLane(self, exchange, call, begun)
        return None

    def _begin_here(self, call: Call, path: Mapping[str, str]) -> Answer | Pending | None:
        """Decode a call on the event loop, if nothing has to be waited for."""
        call.may_wait = "nothing"
        try:
            return pipeline.begin(call, path)
        except Cold:
            return None

    def _check_room(self) -> None:
        if self.waiting >= self._most_waiting:
            raise Unavailable(
                "every lane is busy and the queue is full; try again in a moment",
                code="queue_full",
                retry_after=1.0,
            )

    # Inference that has to wait for the store, for a model, or for a thread that decodes what is large.

    async def _infer_slowly(self, exchange: Exchange) -> None:
        call, path, request = exchange.context
        try:
            seconds = pipeline.budget(self._services, request.headers)
            async with asyncio.timeout(seconds):
                begun = await self._begin_in_thread(call, path)
        except TimeoutError:
            begun = answer_for(inference.too_late(seconds), request)
        finally:
            self.waiting -= 1
        if isinstance(begun, Pending):
            _InLane(self, exchange, call, begun)
        else:
            _send(exchange, pipeline.finish(call, begun))

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

    # Everything else.

    def _start(self, exchange: Exchange, work: Coroutine[Any, Any, None]) -> None:
        task = exchange.connection.loop.create_task(self._guarded(exchange, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, exchange: Exchange, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ClientGone:
            return
        except ServiceError as error:
            self.refuse(exchange, error)
        except Exception as error:  # noqa: BLE001 - logged whole, shown to nobody
            self.fail(exchange, error)

    async def _serve(self, exchange: Exchange, call: Call | None) -> None:
        body = await exchange.read(await self._allowance(exchange, call)) if exchange.length != 0 else b""
        if call is not None:
            self._queue_here(exchange)
        else:
            await self._serve_other(exchange, body)

    async def _serve_other(self, exchange: Exchange, body: bytes | bytearray) -> None:
        if self._others >= _MOST_OTHERS:
            raise _overloaded("too many other requests wait for their turn")
        self._others += 1
        try:
            await self._flask(exchange, body)
        finally:
            self._others -= 1

    async def _receive(self, exchange: Exchange, call: Call) -> None:
        if call.endpoint.pattern.fullmatch(exchange.path) is not None:
            await self._spooled(exchange, call, call.endpoint.streamed)
            return
        try:
            await self._spooled(exchange, call, _FORM)
        except ServiceError as error:
            # People get a page that says so.
            await self._flask(exchange, b"", **{FAILURE: error})

    async def _spooled(self, exchange: Exchange, call: Call, media_type: str) -> None:
        await self._in_thread(pipeline.authorize, call)
        limit = call.endpoint.most_bytes(self._settings)
        if (exchange.length or 0) > limit:
            raise bodies.body_too_large(limit)
        with Spool(max_bytes=limit, media_type=media_type) as upload:
            async for chunk in exchange.chunks():
                upload.write(chunk)
            await self._flask_uploads(exchange, b"", **{UPLOAD: upload})

    async def _follow(self, exchange: Exchange, call: Call, path: Mapping[str, str]) -> None:
        loop = asyncio.get_running_loop()
        answer = pipeline.finish(
            call, await loop.run_in_executor(self._threads, pipeline.compute, call, path)
        )
        stream = answer.chunks
        if not isinstance(stream, JobStream):
            _send(exchange, answer)
            return
        exchange.on_gone = partial(self._watch.drop, stream)
        try:
            async with aclosing(self._watch.follow(stream)) as pieces:
                await exchange.stream(answer.status, answer.headers.items(), pieces)
        finally:
            # Where nothing was sent, `follow` never began.
            stream.close()

    async def _allowance(self, exchange: Exchange, call: Call | None) -> int:
        """Return how many bytes a caller may send: strangers few."""
        most, headers = self._settings.max_body_bytes, exchange.headers
        authorization = headers.get("authorization") or self._credential(exchange.path, headers)
        if exchange.length is not None and exchange.length <= _ANONYMOUS_BYTES:
            return most
        if self._services.authenticate.known(authorization) is not None:
            return most
        try:
            if call is not None:
                await self._in_thread(pipeline.authorize, call)
            else:
                address = exchange.context[2].address
                await self._in_thread(self._services.authenticate, authorization, address)
        except Unauthenticated:
            if call is not None:
                raise
            return min(_ANONYMOUS_BYTES, most)
        return most

    async def _in_thread(self, function: Callable[..., object], *arguments: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looking = loop.call_later(min(_LOOK_SECONDS, self.body_seconds / 10), self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self._connections):
            connection.look(now)
        if self._connections:
            self._look_later(loop)
        else:
            self._looking = None


class _InLane:
    """A call that waits for its lane: until its answer, its deadline, or the end of its client."""

    __slots__ = ("_call", "_exchange", "_front", "_late", "_loop", "_pending", "_ticket")

    def __init__(self, front: Front, exchange: Exchange, call: Call, pending: Pending) -> None:
        services = call.services
        self._front, self._exchange, self._call, self._pending = front, exchange, call, pending
        self._loop = exchange.connection.loop
        self._ticket = Ticket(pending.work, call.deadline, self._done)
        left = (call.deadline or services.timer()) - services.timer()
        self._late = self._loop.call_later(max(0.0, left), self._give_up)
        front.waiting += 1
        exchange.on_gone = self._give_up
        try:
            pending.lanes(services).submit(pending.model, self._ticket)
        except ServiceError as error:
            self.answer(inference.failed(call, pending, error))
            return
        if exchange.connection.is_lost:
            self._give_up()

    def answer(self, answer: Answer) -> None:
        """Send the answer; called on the event loop."""
        if self._exchange.on_gone is None:
            return
        self._exchange.on_gone = None
        self._late.cancel()
        # A ticket and this refer to each other, and to the model: it must not wait for the collector.
        self._ticket.done = _told
        self._front.waiting -= 1
        try:
            _send(self._exchange, pipeline.finish(self._call, answer))
        except Exception as error:  # noqa: BLE001 - logged whole, shown to nobody
            self._front.fail(self._exchange, error)

    def _done(self, ticket: Ticket) -> None:
        # In the lane's thread, so that several answers are written at a time.
        self._front.mailbox.put(self._loop, self, inference.complete(self._call, self._pending, ticket))

    def _give_up(self) -> None:
        self._ticket.drop()
        seconds = pipeline.budget(self._call.services, self._call.request.headers)
        # If the client has gone, nobody reads this; the log does.
        self.answer(inference.failed(self._call, self._pending, inference.too_late(seconds)))


class _Mailbox:
    """Brings answers from lanes to the event loop, waking it once for all that are there."""

    def __init__(self) -> None:
        self._arrived: deque[tuple[_InLane, Answer]] = deque()
        self._called = False

    def put(self, loop: asyncio.AbstractEventLoop, waiting: _InLane, answer: Answer) -> None:
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
            # Guards itself: one that fails keeps nobody else waiting.
            waiting.answer(answer)


def _overloaded(reason: str) -> Unavailable:
    return Unavailable(f"{reason}; try again in a moment", code="overloaded", retry_after=1.0)


def _no_other(_path: str, _headers: Mapping[str, str]) -> str | None:
    """Return no credential beside the header's."""
    return None


def _nothing(_method: str, _path: str) -> str | None:
    """Return no endpoint: there are no pages."""
    return None


def _told(_ticket: Ticket) -> None:
    """Do nothing: the call has been answered."""


def _is_small(body: bytes | bytearray, headers: Mapping[str, str]) -> bool:
    """Return whether a body's JSON is small; raw tensors behind it are never looked through."""
    if "content-encoding" in headers:
        return False
    length = headers.get(_JSON_LENGTH)
    if length is not None and length.isascii() and length.isdigit() and len(length) < _DIGITS:
        return int(length) <= _SMALL_BYTES
    return len(body) <= _SMALL_BYTES


def _retrieve(future: asyncio.Future[LoadedModel]) -> None:
    """Look at a load's failure, which others are told of, so that asyncio does not call it forgotten."""
    if not future.cancelled():
        future.exception()


def _run(exchange: Exchange, call: Call, begun: Pending) -> tuple[Exchange, Call, Pending, Ticket]:
    return exchange, call, begun, inference.run(call, begun)


def _complete(exchange: Exchange, call: Call, begun: Pending, ran: Ticket) -> tuple[Exchange, Call, Answer]:
    return exchange, call, inference.complete(call, begun, ran)


def _answer(exchange: Exchange, call: Call, answer: Answer) -> None:
    _send(exchange, pipeline.finish(call, answer))


def _send(exchange: Exchange, answer: Answer) -> None:
    exchange.answer(answer.status, answer.headers.items(), answer.body)
