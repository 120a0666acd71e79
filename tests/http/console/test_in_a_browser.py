"""The console in Debian's Chromium: the whole journey, both themes, two languages, a phone, and axe-core."""

import importlib.util
import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from maas_client.types import TrainingPoint
from reference_server.console import losses
from reference_server.jobs import running
from reference_server.jobs.context import Services
from reference_server.registry import job_runs, jobs
from reference_server.registry.jobs import NewJob

spec = importlib.util.spec_from_file_location("axe", Path(__file__).with_name("axe.py"))
axe = importlib.util.module_from_spec(spec)
spec.loader.exec_module(axe)

CHROMIUM = shutil.which("chromium")
PASSWORD = "correct horse battery"
PHONE = {"width": 320, "height": 640}
DESK = {"width": 1000, "height": 800}


@pytest.fixture(scope="module")
def chromium():
    """A browser; without one the tests are skipped, with what is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the group test")
    if CHROMIUM is None:
        pytest.skip("needs Debian's package chromium")
    with playwright.sync_playwright() as driver:
        # Root, as in a container, has no sandbox to give up.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def checker():
    """Return axe-core's text."""
    try:
        return axe.source()
    except axe.AxeMissingError as error:
        pytest.skip(str(error))


@pytest.fixture
def address(site):
    """Where the server is."""
    host, port = site.address[:2]
    return f"http://{host}:{port}/console"


@pytest.fixture
def open_page(chromium):
    """Return a function that opens a tab; a page that breaks its own policy fails the test."""
    contexts, faults = [], []

    def opened(**options):
        context = chromium.new_context(**{"viewport": DESK, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda said: faults.append(said.text) if is_fault(said) else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def is_fault(said):
    """Tell whether the browser complains of a page, and not of an answer that says 404 or 422."""
    return said.type == "error" and "Failed to load resource" not in said.text


def log_in(page, address, name):
    page.goto(f"{address}/login")
    page.fill("[name=email]", f"{name}@example.com")
    page.fill("[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/models")


def test_the_whole_journey(open_page, address, site):
    """Register, log in, make a key, choose a model, try it, ask why, compare versions, erase the account."""
    page = open_page()
    page.goto(address)
    page.click("nav >> text=Register")
    for name, value in (("email", "walker@example.com"), ("password", PASSWORD), ("name", "walker")):
        page.fill(f"[name={name}]", value)
    page.check("[name=accept_policy]")
    page.click("main button")
    assert page.text_content("[role=status].said").startswith("Your account is made")
    page.fill("[name=email]", "walker@example.com")
    page.fill("[name=password]", PASSWORD)
    page.click("main button")
    page.click("nav >> text=Keys")
    page.fill("[name=name]", "notebook")
    page.click("text=Make the key")
    secret = page.text_content("pre.secret")
    held = {"authorization": f"Bearer {secret}"}
    assert site.through_flask("GET", "/v1/models/words", headers=held).status == 200
    page.click("text=I have copied it")
    assert secret not in page.content()
    page.click("nav >> text=Models")
    page.fill("[name=q]", "please")
    page.click("text=Show")
    page.click("main .cards a >> text=words")
    page.click("main nav >> text=Try it")
    page.fill("textarea", "a good and a bad day")
    page.click("button:text-is('Predict')")
    assert page.is_visible("text=Score of each label")
    if page.is_visible("text=Predict and explain"):
        page.click("text=Predict and explain")
        assert page.locator(".heat span").count() >= 2
        assert page.is_visible("text=How far it can be trusted")
    page.click("main nav >> text=Versions")
    page.fill("[name=a]", "1")
    page.fill("[name=b]", "2")
    page.click("text=Compare")
    assert page.is_visible("text=Both have the same content")
    page.click("nav >> text=Account")
    page.click("text=Erase the account")
    page.fill("[name=password]", PASSWORD)
    page.click("button:has-text('Erase the account')")
    assert page.is_visible("text=Erased. Here is the receipt")
    with page.expect_download() as download:
        page.click("text=Download the receipt")
    assert '"signatures"' in Path(download.value.path()).read_text(encoding="utf-8")
    assert not [each for each in page.context.cookies() if "session" in each["name"]]


PAGES = (
    "models",
    "models/words",
    "models/words/versions?a=1&b=2",
    "models/words/versions/1",
    "models/words/try",
    "keys",
    "jobs",
    "usage",
    "audit",
    "account",
    "account/erase",
    "fine-tunes",
    "publish?model=another",
    "models/words/capture",
    "models/words/evaluate",
    "models/words/advise",
    "mistyped",
)


VARIANT = {
    "name": "original",
    "title": "As it is",
    "setting": {},
    "p50_ms": 1.0,
    "p99_ms": 2.0,
    "calls": 10,
    "throughput_rows_per_second": 100.0,
    "load_ms": 3.0,
    "package_bytes": 1000,
    "graph_sha256": "0",
    "batch_invariant": True,
}
FORMS = {
    "fine-tunes": {
        "name": "learnt",
        "train": "text,label\n" + "".join(f"a good day {n},up\na bad day {n},down\n" for n in range(20)),
        "epochs": "3",
        "test": "0.2",
    },
    "models/words/evaluate": {"inputs": "text,label\na good day,positive\na bad day,negative\n"},
    "models/words/advise": {"time_budget_seconds": "1", "budget": "20000"},
}


@pytest.fixture(scope="module")
def ended_jobs(site, visitor_of):
    """One job of each kind that has a page of its own, ended; the test does what a job process does."""
    ada, services, made = visitor_of(site).log_in("ada"), site.services, []
    own = Services(services.settings, services.database, services.artifacts, services.pool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "has_job_processes", True)
        for path, form in FORMS.items():
            sent = ada.post(f"/console/{path}", form)
            made.append(sent.headers["Location"].rpartition("/")[2])
            claim = job_runs.claim(services.database, "the-test", lease=timedelta(minutes=5))
            running.run(claim, own, stopping=lambda: False)
    return made


@pytest.mark.parametrize(
    "look",
    [("light", "en", DESK), pytest.param(("dark", "zh", PHONE), marks=pytest.mark.long)],
    ids=["light", "dark"],
)
def test_no_page_breaks_a_rule_of_accessibility(open_page, address, checker, ended_jobs, make_job, look):  # noqa: PLR0917 - fixtures
    """axe-core's rules of WCAG 2 A and AA and of good practice; and a phone never scrolls sideways."""
    theme, language, size = look
    # The policy would keep axe-core out, which is no file of ours; other tests hold to it.
    page = open_page(viewport=size, color_scheme=theme, locale=language, bypass_csp=True)
    page.add_init_script(checker)
    job, found = make_job(), {}

    def check(name):
        if wrong := axe.violations(page):
            found[name] = wrong
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], name

    for path in ("login", "register"):
        page.goto(f"{address}/{path}")
        assert page.get_attribute("html", "lang") == language
        check(path)
    log_in(page, address, "ada")
    for path in (*PAGES, *(f"jobs/{each}" for each in (job, *ended_jobs))):
        page.goto(f"{address}/{path}")
        check(path)
    page.goto(f"{address}/models/words/try")
    page.fill("[name='input.text']", "a good day, and a bad one")
    page.click("button[value=explain]")
    page.wait_for_selector("svg")
    check("an answer and why")
    page.goto(f"{address}/keys")
    page.fill("[name=name]", "x")
    for box in page.query_selector_all("[name=scopes]"):
        box.uncheck()
    page.click("main form.fields >> button")
    check("a refusal")
    assert found == {}


def test_a_jobs_progress_is_kept_up_to_date_and_texts_are_copied(
    open_page, address, site, make_job, account_id
):
    """By the one script there is, within the policy of the page; the same script copies texts."""
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    log_in(page, address, "ada")
    job = make_job()
    page.goto(f"{address}/jobs/{job}")
    db = site.services.database
    claim = job_runs.claim(db, "the-test", lease=timedelta(minutes=5))
    assert claim.job_id == job
    job_runs.report(db, claim, done=7, total=20, unit="row", remaining_seconds=None)
    page.wait_for_selector("[data-text]:has-text('7 / 20 row')")
    assert page.get_attribute("progress", "max") == "20"
    jobs.cancel(db, site.services.artifacts, account_id, job)
    job_runs.cancel(db, site.services.artifacts, claim)
    page.wait_for_selector("text=Erase the job")
    page.goto(f"{address}/models/words")
    page.click("[data-copyable=curl] button")
    assert page.evaluate("navigator.clipboard.readText()").startswith("curl 'http")
    assert page.text_content("#announcement") == "Copied"


def test_what_jobs_tell_is_drawn_while_they_run(open_page, address, site, account_id):
    """By events: the lines of the loss and rows of what was measured, without a reload of the page."""
    page, db = open_page(), site.services.database
    log_in(page, address, "ada")
    curve = [{"epoch": n, "loss": 1 / n, "validation_loss": 2 / n, "learning_rate": 0.1} for n in (1, 2)]
    told = {"fine-tune": {"curve": curve}, "advise": {"variants": [VARIANT]}}
    seen = {"fine-tune": "[data-live=epoch]:has-text('2')", "advise": "[data-rows] th:has-text('original')"}
    for kind, interim in told.items():
        new = NewJob(kind=kind, request={"options": {"name": "x"}})
        kept = timedelta(days=1)
        job = jobs.create(db, account_id, new, resumable=True, most_under_way=1000, kept=kept).id
        claim = job_runs.claim(db, "the-test", lease=timedelta(minutes=5))
        with page.expect_response("**/events"):
            page.goto(f"{address}/jobs/{job}")
        page.evaluate("document.title = 'still the same page'")
        job_runs.report(db, claim, done=1, total=3, remaining_seconds=None, interim=interim)
        page.wait_for_selector(seen[kind])
        assert page.title() == "still the same page"
        if kind == "fine-tune":
            drawn = losses.picture([TrainingPoint.model_validate(point) for point in curve])
            assert page.get_attribute("[data-line=validation]", "points") == drawn.points["validation"]
        jobs.cancel(db, site.services.artifacts, account_id, job)
        job_runs.cancel(db, site.services.artifacts, claim)
        page.wait_for_selector("text=Erase the job")


def test_all_of_it_works_by_keyboard_and_without_a_script(open_page, address):
    """The first stop leads to the content; forms are sent by Enter; what has the focus is seen to have it."""
    page = open_page(java_script_enabled=False)
    page.goto(f"{address}/login")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/login#main")
    page.focus("[name=email]")
    page.keyboard.type("ada@example.com")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/models#main")
    assert page.is_visible("text=words")
    page.click("footer button")
    assert page.get_attribute("html", "lang") == "zh"
    assert re.search(r"/console/models(#main)?$", page.url)
