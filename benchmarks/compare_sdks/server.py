"""A server that answers every SDK's one call, well or badly: the first part of the path says how."""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DRIP_SECONDS = 0.3
CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "positive"}}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "positive"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
INFER = {
    "model_name": "m",
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [1.0]}],
}
PREDICT = {
    "id": "pred_1",
    "model": "m",
    "version": 1,
    "digest": f"sha256:{'0' * 64}",
    "device": "cpu",
    "predictions": [{"label": "positive", "score": 0.9, "scores": {"negative": 0.1, "positive": 0.9}}],
    "usage": {"instances": 1},
    "timing": {"queue_ms": 0.1, "compute_ms": 0.1},
}
REPLIES = (("chat/completions", CHAT), ("messages", MESSAGE), ("infer", INFER), ("predict", PREDICT))


def reply_to(path: str) -> dict[str, Any]:
    """Return the good answer to a call."""
    return next((reply for end, reply in REPLIES if path.partition("?")[0].endswith(end)), PREDICT)


class Hostile(ThreadingHTTPServer):
    """Keeps what it is asked."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[dict[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: Hostile

    def do_GET(self) -> None:
        if self.path == "/_seen":
            self._send(200, json.dumps(self.server.seen).encode())
        elif self.path == "/_forget":
            self.server.seen.clear()
            self._send(200, b"[]")
        else:
            self.do_POST()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        how, _, rest = self.path.lstrip("/").partition("/")
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append(
            {"how": how, "path": rest, "headers": headers, "port": self.client_address[1]}
        )
        getattr(self, f"_{how}")(json.dumps(reply_to(self.path)).encode())

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "X-Request-Id": "req_seen",
            **headers,
        }.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _ok(self, body: bytes) -> None:
        self._send(200, body)

    def _body(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.flush()
        self._drip(body)

    def _headers(self, _: bytes) -> None:
        self._drip(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Slow: " + b"y" * 200 + b"\r\n\r\n"
        )

    def _drip(self, data: bytes) -> None:
        self.close_connection = True
        try:
            for byte in data:
                self.connection.sendall(bytes([byte]))
                time.sleep(DRIP_SECONDS)
        except OSError:
            return

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _dropped(self, _: bytes) -> None:
        self.close_connection = True

    def _cut(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:20])
        self.wfile.flush()
        self._reset()

    def _busy(self, _: bytes) -> None:
        self._send(503, b'{"error": {"message": "full", "type": "unavailable"}}')

    def _later(self, _: bytes) -> None:
        self._send(429, b'{"error": {"message": "later", "type": "rate"}}', Retry_After="40")

    def _text(self, _: bytes) -> None:
        self._send(200, b"<html>no json</html>")

    def _shape(self, _: bytes) -> None:
        self._send(200, b'{"unexpected": [1, 2]}')

    def _gateway(self, _: bytes) -> None:
        self._send(502, b"<html>Bad Gateway</html>", Content_Type="text/html")

    def _refused(self, _: bytes) -> None:
        self._send(401, b'{"error": {"message": "unknown key", "type": "authentication_error"}}')

    def _elsewhere(self, _: bytes) -> None:
        path = self.path.replace("/elsewhere/", "/ok/", 1)
        self._send(307, b"", Location=f"http://localhost:{self.server.server_port}{path}")

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    """Serve until the end, and tell the port first."""
    server = Hostile()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    thread.join()


if __name__ == "__main__":
    main()
