"""What the front makes of HTTP/1.1 as it comes, over real sockets."""

import socket
import time

import pytest

from reference_server.http import connection

PATH = "/v1/models/words/predict"
BODY = b'{"text": "a good day"}'
JSON = {"content-type": "application/json"}


def request(shared, *, extra="", body=BODY, method="POST", path=PATH, version="1.1"):
    lines = [f"{method} {path} HTTP/{version}", "Host: a", f"Authorization: {shared.ada['authorization']}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *extra.splitlines(), "", ""]).encode() + body


def ended(client):
    """Tell whether the other side closed the connection."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_one_connection_carries_many_calls(shared):
    """It stays open between them."""
    with shared.connect() as client:
        for _ in range(3):
            client.sendall(request(shared))
            assert shared.receive(client).json["predictions"][0]["label"] == "positive"


def test_pipelined_requests_are_answered_in_their_order(shared):
    """Quick ones, slow ones and wrong ones, all sent before the first answer is read."""
    with shared.connect() as client:
        sent = [request(shared), request(shared, method="GET", path="/v1/models", body=b"")]
        sent += [request(shared, body=b"{"), request(shared, path="/nowhere")] + [request(shared)] * 20
        client.sendall(b"".join(sent))
        statuses = [int(answer) for answer in statuses_of(client, len(sent))]
    assert statuses == [200, 200, 400, 404] + [200] * 20


def statuses_of(client, count):
    """Read answers that may lie in one packet."""
    data, found = b"", []
    while len(found) < count:
        while b"\r\n\r\n" not in data:
            data += client.recv(65536)
        head, _, data = data.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")
        )
        while len(data) < length:
            data += client.recv(65536)
        data = data[length:]
        found.append(head.split()[1])
    return found


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_request_may_come_in_any_pieces(shared, size):
    """Where the network cuts it changes nothing."""
    whole = request(shared)
    with shared.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(whole), size):
            client.sendall(whole[start : start + size])
        assert shared.receive(client).status == 200


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 99_000])
def test_a_large_body_is_whole_and_another_call_may_follow(shared, size):
    """Bodies that are received into a buffer of their own leave the connection in order."""
    text = b"good " * (size // 5)
    body = b'{"text": "%b"}' % text.ljust(size - 12)
    with shared.connect() as client:
        for _ in range(2):
            client.sendall(request(shared, body=body))
            assert shared.receive(client).json["predictions"][0]["label"] == "positive"
        client.sendall(request(shared))
        assert shared.receive(client).status == 200


def test_who_asks_whether_to_send_is_told(shared):
    """`Expect: 100-continue`: go on where the body is wanted, the refusal at once where it is not."""
    whole = request(shared, extra="Expect: 100-continue")
    with shared.connect() as client:
        client.sendall(whole[: -len(BODY)])
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(BODY)
        assert shared.receive(client).status == 200
    with shared.connect() as client:
        head = b"POST /v1/models/words/predict HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
        client.sendall(head + b"Content-Length: 190000\r\n\r\n")
        assert shared.receive(client).status == 401


def test_who_expects_twice_is_told_once_and_who_speaks_1_0_is_not(shared):
    """RFC 9110, section 10.1.1: an HTTP/1.0 client would take the interim answer for the answer."""
    whole = request(shared, extra="Expect: 100-continue\nExpect: 100-continue")
    with shared.connect() as client:
        client.sendall(whole[: -len(BODY)])
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(BODY)
        assert shared.receive(client).status == 200
    with shared.connect() as client:
        whole = request(shared, extra="Expect: 100-continue", version="1.0")
        client.sendall(whole[: -len(BODY)])
        time.sleep(0.1)
        client.sendall(BODY)
        assert shared.receive(client).status == 200


def test_a_refusal_before_the_body_is_whole_says_that_it_is_the_last(shared, monkeypatch):
    """A body that is received into its own buffer cannot be followed by another request."""
    monkeypatch.setattr(shared.front, "body_seconds", 0.3)
    with shared.connect() as client:
        client.sendall(request(shared, body=b" " * 190_000)[:-90_000])
        answer = shared.receive(client)
        assert (answer.status, answer.json["error"]["code"]) == (400, "body_too_slow")
        assert answer.headers["connection"] == "close"
        client.sendall(b" " * 90_000)
        assert ended(client)


def test_a_defect_before_the_body_is_answered_too(shared, monkeypatch):
    """Whatever fails, a client is not left without an answer."""

    def fail(_exchange):
        raise RuntimeError("planted")

    monkeypatch.setattr(shared.front, "_match", fail)
    with shared.connect() as client:
        client.sendall(request(shared))
        answer = shared.receive(client)
        assert (answer.status, answer.json["error"]["type"]) == (500, "server_error")


def test_a_head_answer_has_the_length_and_no_body(shared):
    """HEAD tells what GET would send."""
    with shared.connect() as client:
        client.sendall(request(shared, method="HEAD", path="/docs", body=b""))
        answer = shared.receive(client, "HEAD")
        assert int(answer.headers["content-length"]) > 1000
        client.sendall(request(shared, method="GET", path="/healthz", body=b""))
        assert shared.receive(client).status == 200


def test_an_old_client_gets_its_answer_and_the_end(shared):
    """HTTP/1.0, and who says `Connection: close`, are answered and closed."""
    for options in ({"version": "1.0"}, {"extra": "Connection: close"}):
        with shared.connect() as client:
            client.sendall(request(shared, **options))
            answer = shared.receive(client)
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert ended(client)


def test_an_upgrade_is_not_made(shared):
    """A client that offers HTTP/2 is answered in HTTP/1.1."""
    extra = "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABk"
    with shared.connect() as client:
        client.sendall(request(shared, method="GET", path="/healthz", body=b"", extra=extra))
        assert shared.receive(client).status == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/keys HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /v1/keys HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/keys HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /v1/keys HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_and_closed(shared, sent):
    """Nothing that two servers could read in two ways is read at all."""
    with shared.connect() as client:
        client.sendall(sent)
        answer = shared.receive(client)
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        assert answer.json["error"]["request_id"] == answer.headers["x-request-id"]
        assert ended(client)


@pytest.mark.parametrize(
    ("hosts", "version", "status"),
    [("", "1.1", 400), ("Host: a\nHost: b", "1.1", 400), ("Host: a", "1.1", 200), ("", "1.0", 200)],
)
def test_a_request_names_one_host(shared, hosts, version, status):
    """RFC 9112, section 3.2: none, or several, is an error; before HTTP/1.1 there was no such header."""
    with shared.connect() as client:
        lines = [f"GET /healthz HTTP/{version}", *hosts.splitlines(), "Connection: close", "", ""]
        client.sendall("\r\n".join(lines).encode())
        assert shared.receive(client).status == status


@pytest.mark.parametrize("line", [b"GET /healthz HTTP/2.0", b"GET /healthz HTTP/0.9", b"GET /healthz"])
def test_other_versions_are_not_answered_as_if_they_were_this_one(shared, line):
    """Who speaks HTTP/2, or HTTP/0.9, would not understand the answer."""
    with shared.connect() as client:
        client.sendall(line + b"\r\nHost: a\r\n\r\n")
        assert shared.receive(client).status == 400


@pytest.mark.parametrize("head", [b"X-%d: %b\r\n", b"X-A: %d%b\r\n"], ids=["many names", "one name"])
def test_endless_headers_are_cut_off_and_the_refusal_can_be_read(shared, head):
    """A head is read up to a bound; who still sends is listened to, for a reset would eat the answer."""
    with shared.connect() as client:
        lines = b"".join(head % (number, b"a" * 50) for number in range(50_000))
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + lines)
        answer = shared.receive(client)
        assert (answer.status, answer.json["error"]["code"]) == (400, "headers_too_large")


def test_fields_behind_a_body_are_no_headers(shared):
    """A trailer cannot bring a credential that the head did not have."""
    with shared.connect() as client:
        head = b"POST /v1/models/words/predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        client.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        client.sendall(b"%x\r\n%b\r\n0\r\nAuthorization: " % (len(BODY), BODY))
        client.sendall(shared.ada["authorization"].encode() + b"\r\n\r\n")
        assert shared.receive(client).status == 401


def test_a_slow_head_is_not_waited_for(shared, monkeypatch):
    """Half a head holds a connection for a bounded time."""
    monkeypatch.setattr(connection, "_HEAD_SECONDS", 0.2)
    with shared.connect() as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
        started = time.monotonic()
        assert ended(client)
        assert time.monotonic() - started < 5


def test_an_idle_connection_is_closed(shared, monkeypatch):
    """After an answer the next request is waited for so long and no longer."""
    monkeypatch.setattr(connection, "_IDLE_SECONDS", 0.2)
    with shared.connect() as client:
        client.sendall(request(shared))
        assert shared.receive(client).status == 200
        assert ended(client)


def test_the_absolute_form_is_taken(shared):
    """As a proxy sends it (RFC 9112, section 3.2.2)."""
    with shared.connect() as client:
        client.sendall(request(shared, method="GET", path="http://a/healthz", body=b""))
        assert shared.receive(client).status == 200


def test_a_header_with_a_line_break_is_never_written(shared, monkeypatch):
    """An answer cannot be split by what an endpoint puts into its headers."""
    pipeline_json = {"content-type": "application/json", "x-a": "b\r\nx-c: d"}
    monkeypatch.setattr("reference_server.http.predict._HEADERS", pipeline_json)
    with shared.connect() as client:
        client.sendall(request(shared))
        answer = shared.receive(client)
        assert answer.status == 500
        assert "x-c" not in answer.headers


def test_many_at_once_are_all_answered(shared):
    """More calls than one turn of the loop takes, from more connections."""
    clients = [shared.connect() for _ in range(150)]
    try:
        for client in clients:
            client.sendall(request(shared))
        assert [shared.receive(client).status for client in clients] == [200] * 150
    finally:
        for client in clients:
            client.close()


def test_an_upgrade_with_a_body_is_read_as_http_1_1(shared):
    """As Java's client sends its calls: the body counts, the offer does not."""
    extra = "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABk"
    whole = request(shared, extra=extra)
    for cut in (len(whole), len(whole) - 5, len(whole) - len(BODY)):
        with shared.connect() as client:
            client.sendall(whole[:cut])
            time.sleep(0.05)
            client.sendall(whole[cut:])
            answer = shared.receive(client)
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert ended(client)


def test_trailers_are_bounded(shared):
    """What follows a body's last chunk cannot go on for ever."""
    with shared.connect() as client:
        client.sendall(b"POST /v1/keys HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ")
        started = time.monotonic()
        with pytest.raises(OSError, match=r"reset|pipe|abort"):
            client.sendall(b"a" * 2**26)
        assert time.monotonic() - started < 5


def test_a_malformed_chunk_is_refused_at_once(shared):
    """Also where it lies in one packet with its head, before anybody asked for the body."""
    for path in (PATH, "/v1/keys"):
        with shared.connect() as client:
            head = f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: {shared.ada['authorization']}\r\n"
            client.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n")
            started = time.monotonic()
            assert shared.receive(client).status == 400
            assert ended(client)
            assert time.monotonic() - started < 5


def test_who_does_not_read_gets_no_more_answers(shared):
    """Answers wait for their reader, one after the other, and all come when he reads."""
    count = 200
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(shared.address)
        client.settimeout(30)
        client.sendall(request(shared, method="GET", path="/docs", body=b"") * count)
        time.sleep(0.5)
        (served,) = [each for each in shared.state.connections if each._waiting]
        assert served.transport.get_write_buffer_size() < 2**20
        assert statuses_of(client, count) == [b"200"] * count


def test_valid_requests_before_a_malformed_one_are_answered(shared):
    """Then the connection ends."""
    with shared.connect() as client:
        client.sendall(
            request(shared) + request(shared, method="GET", path="/v1/models", body=b"") + b"\0\r\n\r\n"
        )
        assert statuses_of(client, 2) == [b"200", b"200"]
