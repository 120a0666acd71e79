"""Record what real servers answer, for the tests that run without them: `python tests/peers/record.py`."""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import requests

sys.path.insert(0, str(Path(__file__).parent))
from conftest import PEERS, ROOT, running

from maas_client import _open_inference as protocol
from maas_client._tensors import tensor_of

RECORDED = ROOT / "tests" / "client" / "recorded"
X = np.array([[1.5, 2.0]], np.float32)
ASKED = [
    ("GET", "/v2", None),
    ("GET", "/v2/health/live", None),
    ("GET", "/v2/health/ready", None),
    ("POST", "/v2/repository/index", b"{}"),
    ("GET", "/v2/models", None),
    ("GET", "/v2/models/doubler", None),
    ("GET", "/v2/models/doubler/ready", None),
    ("GET", "/v2/models/nothing", None),
    ("GET", "/v2/models/nothing/ready", None),
    ("POST", "/v2/models/doubler/infer", "binary"),
    ("POST", "/v2/models/doubler/infer", "json"),
    ("POST", "/v2/models/nothing/infer", "binary"),
    ("POST", "/v2/models/nothing/infer", "json"),
]


def record(name: str, url: str) -> list[dict]:
    """Return every answer of a peer."""
    exchanges = []
    for method, path, body in ASKED:
        content, headers = body, {"Content-Type": "application/json"}
        if isinstance(body, str):
            request = protocol.InferRequest({"x": tensor_of("x", X)}, id="recorded")
            message = protocol.write_request(request, binary=body == "binary")
            content, headers = message.body, dict(message.headers)
        headers["Accept-Encoding"] = "identity"
        answer = requests.request(method, url + path, data=content, headers=headers, timeout=10)
        kept = {key: value for key, value in answer.headers.items() if key.lower() != "date"}
        exchanges.append(
            {
                "method": method,
                "path": path,
                "form": body if isinstance(body, str) else None,
                "status": answer.status_code,
                "headers": kept,
                "body": base64.b64encode(answer.content).decode(),
                "text": answer.content.decode("utf-8", "replace")[:300],
            }
        )
    return exchanges


def main() -> None:
    """Write a file for each peer that is installed."""
    for name in PEERS:
        with tempfile.TemporaryDirectory() as folder, running(name, Path(folder)) as url:
            version = requests.get(f"{url}/v2", timeout=10).json()["version"]
            content = {"server": name, "version": version, "exchanges": record(name, url)}
            (RECORDED / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
