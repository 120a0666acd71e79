"""Advice by forms: what is asked, what was measured as table and picture, and a variant that is applied."""

import json
import re
from datetime import timedelta
from html import unescape

import pytest

from maas_client.types import AdviceRequest, AdviceVariant
from reference_server.advice import applying, measuring
from reference_server.advice.making import make_here
from reference_server.console import snippets, variants
from reference_server.console.languages import texts
from reference_server.registry import job_runs, jobs

ROWS = "text,label\n" + "".join(f"a {word} day,{label}\n" for word, label in (("good", "positive"),) * 3)
QUICK = {"objective": "throughput", "time_budget_seconds": "1", "budget": "20000"}


def variant(name, p50, memory, **more):
    return AdviceVariant(
        name=name,
        title=f"The {name}",
        setting={},
        p50_ms=p50,
        p99_ms=2 * p50,
        calls=100,
        throughput_rows_per_second=1000 / p50,
        memory_bytes=memory,
        load_ms=5,
        package_bytes=1000,
        graph_sha256="0",
        batch_invariant=True,
        **more,
    )


MEASURED = [
    variant("original", 4.0, 40_000_000),
    variant(
        "int8-weights",
        2.0,
        10_000_000,
        pareto=True,
        latency={"median": 0.5, "low": 0.45, "high": 0.55, "pairs": 20},
        quality={
            "measure": "label",
            "rows": 40,
            "agreement": 0.975,
            "largest_shift": 0.2,
            "mean_shift": 0.1,
            "loss": 0.025,
            "loss_of": "label",
        },
    ),
]


@pytest.mark.usefixtures("taking_jobs")
def test_a_model_is_measured_and_a_variant_applied(site, ada, model, run_next, monkeypatch):
    """From the form to the new version, which no alias points to."""
    for module in (measuring, applying):
        monkeypatch.setattr(module, "make", make_here)
    name = model(versions=1)
    sent = ada.post(f"/console/models/{name}/advise", {**QUICK, "inputs": ROWS, "target": "label"})
    begun = ada.follow(sent)
    assert begun.has("data-rows", "Stop the job", "advise(objective='throughput'", 'sample="rows.csv"')
    run_next()
    page = sent.headers["Location"]
    done = ada.get(page)
    assert done.has("Recommendation", "original", "Pareto front", "Other hardware", "a sample of 3")
    choices = re.findall(r'<option value="([^"]+)"', done.text.partition("/apply")[2].partition("</form>")[0])
    assert choices
    other = ada.post(f"{page}/apply", {"variant": "original"})
    assert other.status in (409, 422)
    applied = ada.post(f"{page}/apply", {"variant": choices[0], "notes": "from a page"})
    run_next()
    made = ada.follow(applied)
    assert made.has("The new version", choices[0], f"/console/models/{name}/versions/2")
    version = site.through_flask("GET", f"/v1/models/{name}/versions/2", headers=site.ada).json
    assert (version["notes"], version["aliases"], version["parent"]) == ("from a page", ["latest"], 1)


@pytest.mark.usefixtures("taking_jobs")
def test_who_may_not_publish_gets_no_button(site, eve, run_next):
    """Advice is for everybody who may use the model; the API would refuse the rest too."""
    sent = eve.post("/console/models/ada~words/advise", {**QUICK, "budget": "100"})
    run_next()
    done = eve.follow(sent)
    assert done.has("Recommendation")
    assert "/apply" not in done.text
    assert eve.post(f"{sent.headers['Location']}/apply", {}).status in (403, 409)
    assert site.through_flask("GET", "/v1/models/words/versions/3", headers=site.ada).status == 404


@pytest.mark.usefixtures("taking_jobs")
def test_what_was_measured_so_far_is_told(site, ada, account_id):
    """In the page, and to the script, which writes the same rows."""
    job = ada.post("/console/models/words/advise", QUICK).headers["Location"].rpartition("/")[2]
    db = site.services.database
    claim = job_runs.claim(db, "test", lease=timedelta(seconds=60))
    interim = {"variants": [each.model_dump() for each in MEASURED], "warnings": ["it is busy"]}
    job_runs.report(db, claim, done=2, total=9, unit="setting", remaining_seconds=None, interim=interim)
    told = json.loads(ada.get(f"/console/jobs/{job}/progress").text)
    assert told["rows"] == variants.rows(MEASURED, texts("en"))
    shown = ada.get(f"/console/jobs/{job}")
    assert shown.has("it is busy", *(cell for row in told["rows"] for cell in row))
    assert shown.has("<circle", 'class="hollow"')
    jobs.cancel(db, site.services.artifacts, account_id, job)
    job_runs.cancel(db, site.services.artifacts, claim)


def test_figures_are_told_with_their_intervals():
    """And what is not known as nothing."""
    first, second = variants.rows(MEASURED, texts("en"))
    assert first[:6] == ["1", "original: The original", "4", "8", "\N{EN DASH}", "250"]
    assert second[4] == "\N{MULTIPLICATION SIGN} 0.5 (0.45 \N{EN DASH} 0.55)"
    assert second[-4:] == ["97.5%", "0.025 (label)", "together", "yes"]


def test_the_picture_has_each_variant_in_its_place():
    """The quickest at the left, the smallest at the bottom; labels keep apart; one point is no picture."""
    picture = variants.picture(MEASURED)
    original, int8 = picture.marks
    assert int8.x < original.x
    assert int8.y > original.y
    assert (original.is_front, int8.is_front) == (False, True)
    assert (picture.left, picture.top) == ("2 ms", "40.0 MB")
    same = variants.picture([MEASURED[0]] * 3).marks
    assert len({mark.label_x for mark in same}) == 3
    assert variants.picture(MEASURED[:1]) is None
    assert variants.picture([variant("a", 1.0, None), variant("b", 1.0, None)]) is None


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"inputs": "words\ngood\n"}, "there is no column 'text'; the columns are words"),
        ({"inputs": "text\ngood\n", "target": "label"}, "there is no column 'label'"),
        ({"inputs": "text\n"}, "there are no rows"),
        ({"inputs": "text\ngood\n", "max_quality_loss": "2"}, "max_quality_loss"),
    ],
)
@pytest.mark.usefixtures("taking_jobs")
def test_what_cannot_be_measured_is_told_at_its_field(ada, form, said):
    """Before there is a job, with what was typed still there."""
    shown = ada.post("/console/models/words/advise", {**QUICK, **form})
    assert shown.status == 422
    assert said in unescape(re.search(r'aria-invalid="true".*?</div>', shown.text, re.DOTALL)[0] + shown.text)
    assert 'aria-invalid="true"' in shown.text
    assert shown.has('value="20000"', '<option value="throughput" selected>')


def test_the_form_shows_the_defaults_of_the_contract(ada):
    """They cannot drift from what the server takes when nothing is said."""
    shown = ada.get("/console/models/words/advise")
    for name in ("max_quality_loss", "time_budget_seconds", "budget"):
        (field,) = re.findall(rf'<input [^>]*name="{name}"[^>]*>', shown.text)
        assert float(re.search(r'value="([^"]+)"', field)[1]) == AdviceRequest.model_fields[name].default


def test_the_call_to_copy_names_what_is_not_as_it_is_anyway():
    """In the SDK's own names, and as the API's body."""
    call = snippets.advise("ada~words", {"objective": "memory", "budget": 50_000}, "http://h", version=2)
    compile(call.python, "snippet", "exec")
    assert (
        "client.model('ada~words').advise(objective='memory', sample=\"rows.csv\", version=2)" in call.python
    )
    assert "/v1/models/ada~words/versions/2/advice" in call.curl
    assert '{"objective":"memory"}' in call.curl
