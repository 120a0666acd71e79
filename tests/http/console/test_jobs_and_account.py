"""Jobs, the audit log, and one's own account up to its end."""

import json
import re

from maas_client import verify_receipt
from maas_client.types import Erasure

PASSWORD = "correct horse battery"


def test_a_job_is_followed_and_stopped(ada, make_job):
    """Its page has a bar, an address for the script to ask, and a link for who runs none."""
    job = make_job()
    assert ada.get("/console/jobs").has(job, "queued")
    assert ada.get("/console/jobs?state=running").has("There is no job")
    shown = ada.get(f"/console/jobs/{job}")
    assert shown.has(f'data-progress="/console/jobs/{job}/progress"', "<progress", "Reload")
    told = json.loads(ada.get(f"/console/jobs/{job}/progress").text)
    progress = {"state": "queued", "ended": False, "done": 0, "total": None, "text": "0"}
    assert told == {**progress, "texts": {}, "points": {}, "rows": []}
    ended = ada.follow(ada.post(f"/console/jobs/{job}/cancel"))
    assert ended.has("asked to stop", "cancelled", "Erase the job")
    assert "data-progress" not in ended.text
    assert json.loads(ada.get(f"/console/jobs/{job}/progress").text)["ended"]
    assert ada.follow(ada.post(f"/console/jobs/{job}/delete")).has("The job is erased")
    assert ada.get(f"/console/jobs/{job}").status == 404


def test_a_jobs_state_is_told_in_the_visitors_language(ada, make_job):
    """By the script's answer too."""
    job = make_job()
    told = ada.open(f"/console/jobs/{job}/progress", headers={"accept-language": "zh"})
    assert json.loads(told.text)["state"] == "排队中"


def test_the_audit_log_is_filtered(ada):
    """By act and outcome."""
    assert ada.get("/console/audit?act=session_started&outcome=succeeded").has("log-in", "ses_")
    assert ada.get("/console/audit?act=model_deleted&outcome=failed").has("There is no such entry")


def test_sessions_are_listed_and_ended(ada, make_session):
    """The one that asks is marked; the other can be ended."""
    other, _ = make_session(3600)
    shown = ada.get("/console/account")
    assert shown.has("this one", other)
    assert ada.follow(ada.post(f"/console/account/sessions/{other}/end")).has("The session is ended")
    assert other not in ada.get("/console/account").text


def test_an_export_is_a_file(ada):
    """What the API hands out, by a form, so that no other site can ask for it."""
    shown = ada.post("/console/account/export")
    assert "attachment" in shown.headers["content-disposition"]
    assert json.loads(shown.text)["account"]["name"] == "ada"
    assert ada.get("/console/account/export").status == 405


def test_a_password_is_changed(site, visitor_of):
    """The session stays, others end; a wrong one is told at its field."""
    site.register("changer")
    visitor, other = visitor_of(site).log_in("changer"), visitor_of(site).log_in("changer")
    form = {"current_password": "wrong-wrong-1", "new_password": "another horse battery"}
    wrong = visitor.post("/console/account/password", form)
    assert wrong.status == 401
    (field,) = re.findall(r'<input [^>]*aria-invalid="true"[^>]*>', wrong.text)
    assert 'name="current_password"' in field
    done = visitor.post("/console/account/password", {**form, "current_password": PASSWORD})
    assert visitor.follow(done).has("The password is changed")
    assert other.get("/console/account").status == 303


def test_an_account_is_erased_and_its_receipt_is_for_who_has_its_id(site, visitor_of, anybody, text_package):
    """The page tells before what goes; afterwards nobody can log in, and the receipt is still there."""
    header = site.register("leaver")
    assert site.publish(header, "left", text_package, query="visibility=public").status == 201
    visitor = visitor_of(site).log_in("leaver")
    assert visitor.get("/console/account/erase").has("left", "What is not covered")
    wrong = visitor.post("/console/account/erase", {"password": "wrong-wrong-1"})
    assert wrong.status == 401
    assert wrong.has('aria-invalid="true"')
    assert visitor.session
    sent = visitor.post("/console/account/erase", {"password": PASSWORD})
    assert any("maas_session=;" in cookie and "Max-Age=0" in cookie for cookie in sent.cookies)
    assert visitor.follow(sent).has("Erased. Here is the receipt", "Log in")
    file = anybody.get(f"{sent.headers['Location']}/receipt")
    receipt = Erasure.model_validate_json(file.text).receipt
    assert verify_receipt(receipt, name="leaver@example.com").what == "account"
    wrong = anybody.post("/console/login", {"email": "leaver@example.com", "password": PASSWORD})
    assert wrong.status == 401


def test_a_page_that_takes_forms_alone_is_no_page_to_look_at(ada):
    """405, and what it takes; to people as a page."""
    shown = ada.get("/console/logout")
    assert (shown.status, shown.headers["allow"]) == (405, "POST")
    assert shown.has("Log out", "</html>")
