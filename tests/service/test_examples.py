"""The examples, run as they are."""

import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(demo, name, **more):
    done = demo.run(
        sys.executable, "-W", "error", EXAMPLES / name, MAAS_API_KEY=demo.ready["api_key"], **more
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_script_that_needs_only_requests(demo):
    """It prints the answer of the contract."""
    assert "'predictions': [{'label': " in run(demo, "quickstart_requests.py")


def test_the_script_with_the_sdk(demo):
    """It lists, predicts one, predicts many, lists the versions."""
    output = run(demo, "quickstart.py")
    assert "text_classification_model - " in output
    assert output.count("version ") >= 2


def test_the_script_that_trains_and_publishes(demo):
    """It publishes its model and calls it; a second run finds the same content there."""
    first, second = run(demo, "publish_a_model.py"), run(demo, "publish_a_model.py")
    assert "published support_tickets version 1" in first
    assert first == second
    assert [line.split()[0] for line in first.splitlines()[1:]] == ["delivery", "billing", "technical"]


def test_the_notebook(demo, monkeypatch):
    """Every cell runs, and the committed file holds no outputs."""
    notebook = nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    for name, value in demo.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MAAS_BASE_URL", demo.url)
    monkeypatch.setenv("MAAS_API_KEY", demo.ready["api_key"])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    output = "".join(part.get("text", "") for cell in notebook.cells for part in cell.get("outputs", ()))
    assert "version 1:" in output
    assert "the input 'text' is missing" in output


@pytest.mark.timeout(180)
def test_the_demo(demo):
    """It walks every step and ends well."""
    done = demo.run(sys.executable, EXAMPLES / "demo.py")
    assert done.returncode == 0, done.stdout + done.stderr
    for number in range(1, 6):
        assert f"\n{number}. " in done.stdout
    assert "default went" in done.stdout
    assert done.stdout.rstrip().endswith("keeps such a server up.")
