"""A real Jupyter kernel: what it shows, and how it asks."""

from __future__ import annotations

import queue
import time

import pytest
from jupyter_client.manager import start_new_kernel

SET_UP = """
from maas_client.testing import FakeMaas
fake = FakeMaas()
fake.add_model("mood", labels=["sad", "glad"], answer="glad", versions=2)
client = fake.client()
"""


@pytest.fixture(scope="module")
def kernel():
    manager, client = start_new_kernel()
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(kernel, code, *answers):
    """Run a cell as a person who types the answers; return what is shown and what was asked."""
    identity = kernel.execute(code, allow_stdin=True)
    shown, asked, waiting = [], [], list(answers)
    ends_at = time.monotonic() + 30
    while time.monotonic() < ends_at:
        try:
            request = kernel.get_stdin_msg(timeout=0.05)
            asked.append((request["content"]["prompt"], request["content"]["password"]))
            kernel.input(waiting.pop(0))
        except queue.Empty:
            pass
        try:
            message = kernel.get_iopub_msg(timeout=0.05)
        except queue.Empty:
            continue
        if message["parent_header"].get("msg_id") != identity:
            continue
        if message["msg_type"] == "error":
            shown.append({"error": message["content"]["evalue"]})
        elif message["msg_type"] in ("execute_result", "display_data"):
            shown.append(message["content"]["data"])
        elif message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return shown, asked
    pytest.fail("the cell did not end")


def test_results_are_shown_as_html(kernel):
    """A prediction, the catalogue, the versions: as the last line of a cell."""
    run(kernel, SET_UP)
    for cell, expected in (
        ("client.predict('mood', text='a')", "glad"),
        ("client.models.list()", "mood"),
        ("client.model('mood').versions.list()", "Version 2 of a fake."),
        ("client.model('mood').get()", "sad, glad"),
    ):
        ((data,), _) = run(kernel, cell)
        assert expected in data["text/html"]
        assert "<script" not in data["text/html"]


def test_login_asks_in_the_notebook_and_hides_the_password(kernel):
    """The kernel's own input fields; the password's is one that does not show it."""
    run(kernel, SET_UP + "fake.reply('POST /v1/sessions', {'error': {'message': 'wrong'}}, status=401)")
    (shown, asked) = run(kernel, "client.login()", "ada@example.com", "correct horse")
    assert asked == [("E-mail: ", False), ("Password: ", True)]
    assert shown[0]["error"].startswith("wrong")
    ((told,), _) = run(kernel, "fake.calls[-1].json['password']")
    assert told["text/plain"] == "'correct horse'"


def test_both_faces_work_in_a_cell(kernel):
    """A notebook has an event loop already."""
    ((data,), _) = run(kernel, SET_UP + "await fake.async_client().predict('mood', text='a')")
    assert "glad" in data["text/html"]


def test_a_bar_is_drawn_in_a_cell(kernel):
    """Without the notebook's widgets as text, with them as one."""
    (shown, _) = run(
        kernel,
        SET_UP
        + "outcomes = list(client.predict_many('mood', [{'text': 'a'}] * 30, progress=True)); len(outcomes)",
    )
    assert shown[-1]["text/plain"] == "30"
