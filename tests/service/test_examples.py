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


def canary(demo, *options, code=0):
    """Run the canary on the demo's model with its own load, and return what it printed."""
    done = demo.run(
        sys.executable,
        "-W",
        "error",
        EXAMPLES / "canary.py",
        *("--min-calls", 30, "--patience", 30),
        *options,
        MAAS_API_KEY=demo.ready["api_key"],
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert not done.stderr
    return done.stdout


def test_the_canary(demo):
    """A version that is good enough by the rule is promoted, one that is not is withdrawn; both are told."""
    with demo.client(api_key=demo.ready["api_key"]) as client:
        model = client.model("text_classification_model")
        present = model.aliases.get("default").version
        candidate = 3 - present
        lax = ("--candidate", candidate, "--min-agreement", 0.1, "--max-latency-ratio", 50)
        lax += ("--max-error-rate", 0.2)
        told = canary(demo, *lax, "--steps", 40, "--min-agreement", 1.01, code=1)
        assert "copies alone: bad" in told
        assert "withdrawn" in told
        assert (model.traffic.get().kind, model.aliases.get("default").version) == ("withdrawn", present)
        told = canary(demo, *lax, "--steps", 40)
        assert "40 % of the callers: good" in told
        assert f"promoted: version {candidate}" in told
        assert model.served().versions[0].version == candidate
        model.aliases.rollback("default", note="as it was")


def executed(demo, name, monkeypatch):
    """Return a notebook with its outputs, after a look that the committed file holds none."""
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    for variable, value in demo.environment.items():
        monkeypatch.setenv(variable, value)
    # A kernel shows plots where it may choose the backend itself.
    monkeypatch.delenv("MPLBACKEND", raising=False)
    monkeypatch.setenv("MAAS_BASE_URL", demo.url)
    monkeypatch.setenv("MAAS_API_KEY", demo.ready["api_key"])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    return [part for cell in notebook.cells for part in cell.get("outputs", ())]


def test_the_notebook(demo, monkeypatch):
    """Every cell runs."""
    output = "".join(part.get("text", "") for part in executed(demo, "quickstart.ipynb", monkeypatch))
    assert "version 1:" in output
    assert "the input 'text' is missing" in output


def test_the_notebook_that_explains(demo, monkeypatch):
    """Words in colours, two versions, what counts, and three plots; without a word on standard error."""
    outputs = executed(demo, "explain.ipynb", monkeypatch)
    assert not [part for part in outputs if part.output_type == "stream"]
    shown = [part.data for part in outputs]
    html = "".join(data.get("text/html", "") for data in shown)
    for said in (">dull</span>", "speaks for ", "rank correlation", "mean of |value|"):
        assert said in html
    assert sum("image/png" in data for data in shown) == 3


def test_the_notebook_that_trains(demo, monkeypatch):
    """The curve in its three forms, metrics, a prediction by what came of it, a bad row by its number."""
    outputs = executed(demo, "fine_tune.ipynb", monkeypatch)
    assert not [part for part in outputs if part.output_type == "stream" and part.name == "stderr"]
    shown = [part.data for part in outputs if part.output_type != "stream"]
    html = "".join(data.get("text/html", "") for data in shown)
    for said in ("the loss by epoch", "validation ", "accuracy", "mean absolute error", "ticket_sorter"):
        assert said in html
    printed = "".join(part.get("text", "") for part in outputs)
    assert "• train, x validation" in printed
    assert "train row 54: the text is missing" in printed
    assert sum("image/png" in data for data in shown) == 1
    assert 800 < float(shown[-1]["text/plain"]) < 1000


def test_the_notebook_that_asks_for_advice(demo, monkeypatch):
    """A look, a table with a picture, a plot, and a version of its own for a variant that may be applied."""
    outputs = executed(demo, "advise.ipynb", monkeypatch)
    assert not [part for part in outputs if part.output_type == "stream" and part.name == "stderr"]
    shown = [part.data for part in outputs if part.output_type != "stream"]
    html = "".join(data.get("text/html", "") for data in shown)
    for said in ("for latency", "original", "<svg", "memory MB"):
        assert said in html
    assert sum("image/png" in data for data in shown) == 1
    printed = "".join(part.get("text", "") for part in outputs)
    assert "capitals are on the Pareto front" in printed
    assert "positive" in printed


@pytest.mark.timeout(180)
def test_the_demo(demo):
    """It walks every step and ends well."""
    done = demo.run(sys.executable, EXAMPLES / "demo.py")
    assert done.returncode == 0, done.stdout + done.stderr
    for number in range(1, 6):
        assert f"\n{number}. " in done.stdout
    assert "default went" in done.stdout
    assert done.stdout.rstrip().endswith("keeps such a server up.")
