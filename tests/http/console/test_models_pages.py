"""A model's pages and what is changed there: by the same rules as the API, and audited as that."""

import json
import re

import pytest

from reference_server.housekeeping import Housekeeping


def test_the_catalogue_filters(ada):
    """Words, task, owner and order; a wrong filter is told beside the others."""
    assert ada.get("/console/models?q=please&task=text-classification&owner=ada&sort=-created").has("words")
    assert ada.get("/console/models?task=embedding").has("No model fits")
    wrong = ada.get("/console/models?tag=a%20b")
    assert wrong.status == 400
    assert wrong.has("That did not work", 'value="a b"')


def test_the_catalogue_has_pages(ada, site, monkeypatch):
    """The next one is a link that keeps the filters."""
    from reference_server.console import catalogue

    monkeypatch.setattr(catalogue, "_ON_A_PAGE", 1)
    first = ada.get("/console/models?owner=ada")
    (link,) = re.findall(r'rel="next" href="([^"]+)"', first.text)
    second = ada.get(link.replace("&amp;", "&"))
    assert second.status == 200
    names = [re.findall(r'<h2><a href="/console/models/([^"]+)"', page.text) for page in (first, second)]
    assert [len(each) for each in names] == [1, 1]
    assert names[0] != names[1]


def test_a_stranger_sees_the_card_and_no_way_to_change_it(eve):
    """The page offers what its visitor may do."""
    shown = eve.get("/console/models/ada~words")
    assert shown.has("Counts words that please", "Apache-2.0", "negative, positive")
    assert not shown.has("Erase the model")
    assert not shown.has("Move an alias")


def test_an_alias_moves_and_goes_back(ada, model):
    """With its note; both are in the history."""
    name = model()
    for version in ("1", "2"):
        moved = ada.post(
            f"/console/models/{name}/aliases", {"alias": "best", "version": version, "note": "why"}
        )
        assert ada.follow(moved).has("The alias is moved", "best", "why")
    back = ada.post(f"/console/models/{name}/aliases/best/rollback", {"revision": "2"})
    assert ada.follow(back).has("The alias points to where it was")
    assert ada.get(f"/console/models/{name}/versions").has("alias rolled back", "alias moved")


def test_a_page_that_is_out_of_date_changes_nothing(ada, model):
    """What somebody else has moved since is not moved back: the form holds the revision that it showed."""
    name = model()
    for version in ("1", "2"):
        ada.post(f"/console/models/{name}/aliases", {"alias": "best", "version": version})
    lost = ada.post(f"/console/models/{name}/aliases/best/rollback", {"revision": "1"})
    assert lost.status == 412
    assert lost.has("Somebody else changed this first")


def test_traffic_is_split_and_withdrawn(ada, model):
    """By weights; nothing but numbers is taken."""
    name = model()
    form = {"weight.1": "1", "weight.2": "3", "weight.x": "9", "note": "try it", "revision": "0"}
    shown = ada.follow(ada.post(f"/console/models/{name}/traffic", form))
    assert shown.has("Version 1: 25.0 %", "Version 2: 75.0 %", "try it")
    wrong = ada.post(f"/console/models/{name}/traffic", {"weight.1": "much"})
    assert wrong.status == 422
    left = ada.follow(ada.post(f"/console/models/{name}/traffic/withdraw"))
    assert left.has("serves every call that names no version")


def test_a_model_is_shared_and_no_longer(ada, visitor_of, site, model):
    """Its owner sees with whom; the other account sees it as long."""
    name, eve = model(), visitor_of(site).log_in("eve")
    path = f"/console/models/ada~{name}"
    assert eve.get(path).status == 404
    form = {"account": "eve", "role": "publisher"}
    assert ada.follow(ada.post(f"/console/models/{name}/shares", form)).has("eve", "publisher")
    shown = eve.get(path)
    assert shown.has("you are publisher", "Move an alias")
    assert not shown.has("Shared with\n")
    assert ada.post(f"/console/models/{name}/shares/eve/remove").status == 303
    assert eve.get(path).status == 404


def test_a_model_is_shown_to_everybody_and_hidden_again(ada, eve, model):
    """One button, whose text says what it does."""
    name = model()
    assert ada.follow(ada.post(f"/console/models/{name}/visibility", {"visibility": "public"})).has(
        "Make private"
    )
    assert eve.get(f"/console/models/{name}").status == 200
    ada.post(f"/console/models/{name}/visibility", {"visibility": "private"})
    assert eve.get(f"/console/models/{name}").status == 404


def test_a_version_is_deprecated_and_restored(ada, model):
    """With a reason, a replacement and a time."""
    name = model()
    form = {"state": "deprecated", "reason": "old", "replacement": "2", "sunset": "2031-02-03T04:05"}
    shown = ada.follow(ada.post(f"/console/models/{name}/versions/1/state", form))
    assert shown.has("deprecated", "old", "2031-02-03 04:05 UTC")
    assert ada.follow(ada.post(f"/console/models/{name}/versions/1/state", {"state": "active"})).has("active")


def test_two_versions_are_compared(ada, model, package_writer, text_graph):
    """Their signatures, manifests and metrics, and whether callers break."""
    other = package_writer(text_graph(), labels=["bad", "good"])
    name = model(versions=1)
    assert ada.server.publish(ada.server.ada, name, other).status == 201
    shown = ada.get(f"/console/models/{name}/versions?a=1&b=2")
    assert shown.has("may fail with the second", "label")
    assert ada.get(f"/console/models/{name}/versions?a=1&b=1").has("Both have the same content")
    assert ada.get(f"/console/models/{name}/versions?a=1&b=99").status == 404


def test_a_version_is_erased_by_who_types_its_number(ada, model):
    """Anything else erases nothing; then there is a receipt to save."""
    name = model()
    assert ada.post(f"/console/models/{name}/aliases", {"alias": "default", "version": "2"}).status == 303
    path = f"/console/models/{name}/versions/1"
    mistyped = ada.post(f"{path}/erase", {"confirmation": "yes"})
    assert (mistyped.status, ada.get(path).status) == (422, 200)
    assert mistyped.has("Nothing was erased")
    assert ada.follow(ada.post(f"{path}/erase", {"confirmation": "1"})).has("Erased. Here is the receipt")
    assert ada.get(path).status == 404


def test_a_model_is_erased_and_its_receipt_holds(ada, model, tmp_path):
    """The file that the page hands out is what `maas verify-receipt` takes."""
    from maas_client import verify_receipt
    from maas_client.types import Erasure

    name = model(versions=1)
    assert ada.post(f"/console/models/{name}/erase", {"confirmation": "nothing"}).status == 422
    sent = ada.post(f"/console/models/{name}/erase", {"confirmation": name})
    shown = ada.follow(sent)
    assert shown.has("Erased", "Download the receipt")
    file = ada.get(f"{sent.headers['Location']}/receipt")
    assert "attachment" in file.headers["content-disposition"]
    receipt = Erasure.model_validate_json(file.text).receipt
    assert verify_receipt(receipt, name=f"ada~{name}").what == "model"
    assert ada.get(f"/console/models/{name}").status == 404


def test_latencies_are_shown_as_bars(ada, site, model):
    """What the server measured, version by version."""
    name = model()
    assert ada.get(f"/console/models/{name}").has("No call was measured yet")
    for _ in range(3):
        assert ada.post(f"/console/models/{name}/try", {"input.text": "good", "act": "predict"}).status == 200
    stored(site)
    shown = ada.get(f"/console/models/{name}")
    assert shown.has("p50", "p95", " ms")
    assert shown.text.count('class="lie"') == 2


def stored(site):
    """Store what was counted, as housekeeping does each second."""
    site.services.metrics.publish()
    Housekeeping(site.services)._store_counts()


@pytest.mark.parametrize("path", ["", "/versions", "/versions/1", "/try"])
def test_pages_of_a_model_without_versions(ada, site, path):
    """A name that was only claimed has pages too."""
    site.post("/v1/models", {"name": "claimed"}, headers=site.ada)
    assert ada.get(f"/console/models/claimed{path}").status == (404 if path == "/versions/1" else 200)


def test_whoever_tries_a_model_is_told_that_its_calls_are_kept(site, ada, model):
    """As the API tells its callers, before they send anything."""
    name = model(versions=1)
    assert not ada.get(f"/console/models/{name}/try").has("are kept for the model's owners")
    headers = {"content-type": "application/json", **site.ada}
    body = b'{"enabled": true, "days": 3, "sample": 0.5}'
    set_ = site.through_flask("PUT", f"/v1/models/{name}/capture", headers=headers, body=body)
    assert set_.status == 200, set_.body
    for path in ("", "/try"):
        assert ada.get(f"/console/models/{name}{path}").has("50 % of the calls", "for 3 days")


def test_what_is_tried_is_captured_as_every_call_is(site, ada, model):
    """The owner finds it among the model's captured calls."""
    name = model(versions=1)
    headers = {"content-type": "application/json", **site.ada}
    body = b'{"enabled": true, "sample": 1}'
    assert site.through_flask("PUT", f"/v1/models/{name}/capture", headers=headers, body=body).status == 200
    assert ada.post(f"/console/models/{name}/try", {"input.text": "good"}).status == 200
    site.services.captures.flush()
    found = site.through_flask("GET", f"/v1/models/{name}/captured", headers=site.ada)
    assert b"good" in found.body


def test_what_is_done_here_is_in_the_audit_log(ada, site, model):
    """As the API's acts, with who, what and from where."""
    name = model(versions=1)
    ada.post(
        f"/console/models/{name}/aliases", {"alias": "best", "version": "1"}, headers={"user-agent": "Lynx"}
    )
    entries = site.through_flask("GET", "/v1/audit", headers=site.ada, query="act=alias_moved").json["data"]
    newest = next(each for each in entries if each["model"] == name)
    assert newest["alias"] == "best"
    assert newest["address"] == "127.0.0.1"
    assert newest["user_agent"] == "Lynx"
    assert newest["credential"].startswith("ses_")
    assert ada.get("/console/audit?act=alias_moved").has("alias moved", name)
    assert "maas_" not in json.dumps(entries)
