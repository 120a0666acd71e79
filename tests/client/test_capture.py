"""Capture from the client's side: what is sent, what is read, what the command prints and writes."""

import asyncio
import json
import stat

import pytest
from click.testing import CliRunner

from maas_client import errors
from maas_client.cli import main
from maas_client.testing import FakeMaas

CAPTURE, CAPTURED = "/v1/models/{model}/capture", "/v1/models/{model}/captured"
ON = {
    "enabled": True,
    "since": "2026-11-27T09:30:00Z",
    "days": 7,
    "sample": 0.5,
    "notice": "inputs and outputs are stored",
    "records": 2,
    "bytes": 2048,
    "most_bytes": 2**20,
    "oldest_at": "2026-11-27T09:31:00Z",
    "dropped": 3,
}
CALL = {
    "seq": 1,
    "at": "2026-11-27T09:31:00Z",
    "version": 1,
    "account": "acc_1",
    "request_id": "req_1",
    "route": "predict",
    "inputs": [{"text": "hé"}],
    "predictions": [{"label": "glad"}],
}
CHANGED = {**CALL, "seq": 2, "inputs": None, "predictions": None, "fault": "it was changed"}
ERASURE = {
    "id": "era_1",
    "what": "captured",
    "state": "pending",
    "counts": {"captured_calls": 2},
    "requested_at": "2026-11-27T09:32:00Z",
}


@pytest.fixture
def fake():
    made = FakeMaas()
    made.add_model("mood", captured={"since": "2026-11-27T09:30:00Z", "days": 7, "sample": 0.5})
    made.reply(f"GET {CAPTURE}", ON)
    made.reply(f"PUT {CAPTURE}", ON)
    made.reply(f"GET {CAPTURED}", {"data": [CALL]})
    made.reply(f"DELETE {CAPTURED}", ERASURE, status=202)
    return made


def test_capture_is_sent_as_the_contract_has_it(fake):
    """What is left out stays as it was; replies are typed, and the model tells its callers."""
    with fake.client() as client:
        capture = client.model("mood").capture
        assert capture.get().records == 2
        assert capture.set(days=7, sample=0.5).enabled
        assert (fake.calls[-1].route, fake.calls[-1].json) == (
            f"PUT {CAPTURE}",
            {"enabled": True, "days": 7, "sample": 0.5},
        )
        capture.set()
        assert fake.calls[-1].json == {"enabled": True}
        capture.off()
        assert fake.calls[-1].json == {"enabled": False}
        assert client.models.get("mood").captured.days == 7


def test_captured_calls_are_listed_and_erased(fake):
    """Page by page; the erasure may be pending."""
    with fake.client() as client:
        captured = client.model("mood").captured
        (call,) = captured.list(version=1, page_size=5)
        assert (call.inputs, call.predictions, call.fault) == ([{"text": "hé"}], [{"label": "glad"}], None)
        assert fake.calls[-1].query == {"version": "1", "limit": "5"}
        assert captured.delete().counts == {"captured_calls": 2}


def test_the_asynchronous_face_captures_too(fake):
    """The same calls, awaited."""

    async def use():
        async with fake.async_client() as client:
            model = client.model("mood")
            await model.capture.set(days=1)
            await model.capture.off()
            listed = [each async for each in model.captured.list()]
            await model.captured.delete()
            return listed

    assert [each.seq for each in asyncio.run(use())] == [1]
    assert [call.method for call in fake.calls] == ["PUT", "PUT", "GET", "DELETE"]


@pytest.mark.parametrize("asked", [{"days": 0}, {"days": 366}, {"sample": 0}, {"sample": 2}])
def test_what_cannot_be_is_never_sent(fake, asked):
    """The contract's ranges hold before the wire."""
    with fake.client() as client, pytest.raises(errors.ArgumentError, match=next(iter(asked))):
        client.model("mood").capture.set(**asked)
    assert fake.calls == []


def maas(*words, code=0, given=None):
    done = CliRunner().invoke(main, ["capture", "mood", *words], input=given, catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def test_the_command_shows_and_switches(fake):
    """Without an option it only shows; --days and --sample need --on."""
    with fake.installed():
        shown = maas()
        for text in ("on", "2026-11-27 09:30:00Z", "inputs and outputs are stored", "2", "not written"):
            assert text in shown
        assert json.loads(maas("--json"))["bytes"] == 2048
        assert [call.method for call in fake.calls] == ["GET", "GET"]
        maas("--on", "--days", "3", "--sample", "0.1")
        assert fake.calls[-1].json == {"enabled": True, "days": 3, "sample": 0.1}
        maas("--off")
        assert fake.calls[-1].json == {"enabled": False}
        sent = len(fake.calls)
        for words in (
            ["--days", "3"],
            ["--off", "--sample", "1"],
            ["--on", "--days", "0"],
            ["--on", "--sample", "0"],
        ):
            maas(*words, code=2)
        assert len(fake.calls) == sent


def test_the_command_exports_and_erases(fake, tmp_path):
    """A line for each call, in a file that nobody else reads; what was changed ends with 1."""
    file = tmp_path / "calls.ndjson"
    with fake.installed():
        maas("--export", str(file))
        (line,) = file.read_text(encoding="utf-8").splitlines()
        assert json.loads(line)["inputs"] == [{"text": "hé"}]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(maas("--export", "-"))["seq"] == 1
        assert "2 captured calls of mood are erased" in maas("--delete", "--yes")
        assert fake.calls[-1].method == "DELETE"
        asked = len(fake.calls)
        maas("--delete", given="n\n", code=1)
        assert len(fake.calls) == asked
        fake.reply(f"GET {CAPTURED}", {"data": [CALL, CHANGED]})
        maas("--export", str(file), code=1)
        assert len(file.read_text(encoding="utf-8").splitlines()) == 2


def test_whoever_looks_at_the_model_is_told(fake):
    """`maas model` says that its calls are stored, for how long and which part."""
    with fake.installed():
        shown = CliRunner().invoke(main, ["model", "mood"]).stdout
    assert "50.0% of the calls" in " ".join(shown.split())
    assert "7 days" in " ".join(shown.split())
