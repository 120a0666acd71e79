"""Clients that leave: in the middle of a body, or with the answer still to come."""

from __future__ import annotations

import random
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import threading

    from load import Call

LONGEST_WAIT = 0.02
PAUSE = 0.01


def hang_up(call: Call, ended: threading.Event) -> None:
    """Send requests and leave at a random point, until told to end."""
    parts = urlsplit(call.url)
    headers = {"Host": parts.netloc, **call.headers, "Content-Length": str(len(call.body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    message = f"POST {parts.path} HTTP/1.1\r\n{lines}\r\n".encode() + call.body
    chance = random.Random(0)  # noqa: S311 - nothing secret
    while not ended.is_set():
        sent = len(message) if chance.random() < 1 / 2 else chance.randrange(1, len(message))
        with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
            connection.sendall(message[:sent])
            time.sleep(chance.random() * LONGEST_WAIT)
        ended.wait(PAUSE)
