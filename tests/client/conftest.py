from __future__ import annotations

import pytest
import responses

from maas_client import Client, _transport

BASE_URL = "https://models.test"
KEY = "maas_key_0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch, tmp_path):
    for name in ("MAAS_API_KEY", "MAAS_BASE_URL", "MAAS_PROFILE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("MAAS_CONFIG_FILE", str(tmp_path / "settings" / "config.toml"))


@pytest.fixture
def server():
    """Answer in the place of a server, at the adapter."""
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def sleeps(monkeypatch):
    """Record the waits between attempts instead of waiting."""
    waited: list[float] = []
    monkeypatch.setattr(_transport.time, "sleep", waited.append)
    return waited


@pytest.fixture
def client():
    with Client(KEY, BASE_URL, proxies={}) as made:
        yield made


@pytest.fixture
def reply():
    """Return the body of a predict reply for the given predictions."""

    def make(*predictions):
        return {
            "id": "pred_1",
            "model": "m",
            "version": 3,
            "digest": "sha256:" + "0" * 64,
            "device": "cpu",
            "predictions": list(predictions),
            "usage": {"instances": len(predictions)},
            "timing": {"queue_ms": 0.1, "compute_ms": 2.3},
        }

    return make


@pytest.fixture
def positive():
    return {"label": "positive", "score": 0.75, "scores": {"negative": 0.25, "positive": 0.75}}
