"""A package published by a form, calls kept and erased by one, and a model evaluated on pasted rows."""

import io
import re

import pytest

from maas_client._package import open_package, write_zip


@pytest.fixture
def packed(tmp_path, package_writer, text_graph):
    """A package as a zip, as a browser would send it."""

    def pack(example):
        file = io.BytesIO()
        with open_package(package_writer(text_graph(), example=example)) as package:
            write_zip(package, file)
        return io.BytesIO(file.getvalue())

    return pack


def published(ada, name, package, **more):
    form = {"package": (package, "package.zip"), "notes": "from a form", **more}
    return ada.post(f"/console/models/{name}/versions", form)


def test_a_package_of_a_form_becomes_a_version(ada, packed):
    assert ada.get("/console/publish?model=formed").has("/console/models/formed/versions", "publish(")
    sent = published(ada, "formed", packed("a"))
    assert sent.status == 303
    assert re.match(r"/console/models/formed/versions/1\b", sent.headers["Location"])
    assert ada.follow(sent).has("from a form")
    # The same content is no second version.
    assert re.match(
        r"/console/models/formed/versions/1\b", published(ada, "formed", packed("a")).headers["Location"]
    )
    assert (
        published(ada, "formed", packed("b"))
        .headers["Location"]
        .startswith("/console/models/formed/versions/2")
    )


@pytest.mark.parametrize("content", [b"no zip", b""])
def test_what_is_no_package_is_refused_on_the_page(ada, content):
    refused = published(ada, "formed_badly", io.BytesIO(content))
    assert refused.status == 422
    assert refused.has("formed_badly", "this is neither a folder nor a readable zip")


def test_calls_are_kept_and_erased_by_a_form(site, ada, packed):
    published(ada, "keeping", packed("a"))
    page = "/console/models/keeping/capture"
    begun = ada.post(page, {"enabled": "yes", "days": "3", "percent": "50"})
    assert begun.status == 303
    state = site.through_flask("GET", "/v1/models/keeping/capture", headers=site.ada).json
    assert (state["enabled"], state["days"], state["sample"]) == (True, 3, 0.5)
    assert ada.post(page, {"enabled": "yes", "days": "4000"}).has('class="error"')
    assert ada.post(f"{page}/erase", {"confirmation": "another"}).status == 422
    erased = ada.post(f"{page}/erase", {"confirmation": "keeping"})
    assert erased.headers["Location"].startswith("/console/erasures/")
    assert ada.post(page, {"enabled": "no"}).status == 303
    assert not site.through_flask("GET", "/v1/models/keeping/capture", headers=site.ada).json["enabled"]


@pytest.mark.usefixtures("taking_jobs")
def test_a_model_is_evaluated_on_pasted_rows(ada, packed, run_next):
    published(ada, "measured", packed("a"))
    page = "/console/models/measured/evaluate"
    assert ada.get(page).has("inputs")
    assert ada.post(page, {"inputs": ""}).has('class="error"')
    sent = ada.post(page, {"inputs": "text,label\ngood,positive\nbad,negative\n"})
    assert sent.status == 303
    run_next()
    assert ada.follow(sent).has("accuracy")


@pytest.fixture
def front(site, ada):
    """Return what sends a form with a file through the front, as a browser does."""
    boundary = "a-boundary-of-a-browser"

    def send(name, content, *, session=ada.session, token=ada.token, chunks=None):
        cookie = {} if session is None else {"cookie": f"maas_session={session}"}
        headers = {
            **cookie,
            "origin": "http://localhost",
            "host": "localhost",
            "content-type": f"multipart/form-data; boundary={boundary}",
        }
        head = 'content-disposition: form-data; name="'
        parts = f'{head}form_token"\r\n\r\n{token}', f'{head}package"; filename="a.zip"\r\n\r\n'
        begun = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts).removesuffix("\r\n")
        body = begun.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        path = f"/console/models/{name}/versions"
        if chunks is None:
            return site.through_front("POST", path, headers=headers, body=body)
        pieces = [body[at : at + chunks] for at in range(0, len(body), chunks)]
        return site.through_front("POST", path, headers=headers, chunks=pieces)

    return send


@pytest.fixture
def large(package_writer, text_graph):
    """A package that is no form's in memory: of more than the largest body beside packages."""
    graph, file = text_graph(), io.BytesIO()
    graph.doc_string = "x" * 9_000_000
    with open_package(package_writer(graph)) as package:
        write_zip(package, file)
    return file.getvalue()


def test_a_large_package_comes_through_the_front(site, front, large):
    """It lies sealed on the disk and not in memory; in chunks or with its length."""
    assert len(large) > site.services.settings.max_body_bytes
    for chunks in (None, 2**20):
        answer = front("through-front", large, chunks=chunks)
        assert answer.status == 303, answer.body
        assert answer.headers["location"].startswith("/console/models/through-front/versions/1")


def test_who_is_nobody_sends_no_package(site, front, large, make_key, eve):
    """They are sent to the log-in, or told on a page; nothing is published."""
    for session in (None, "maas_ses_of_nobody", make_key()[1]):
        answer = front("nobodys", large, session=session)
        assert answer.status in (303, 413), answer.body
        assert answer.headers.get("location", "/console/login").startswith("/console/login")
    assert front("nobodys", large, token="").status == 403
    assert front("nobodys", large, token=eve.token).status == 403
    assert site.through_flask("GET", "/v1/models/nobodys", headers=site.ada).status == 404


def test_a_package_beyond_the_limit_is_told_on_a_page(site, front, monkeypatch):
    """By its length before it is sent, and where that is not said as soon as there is too much."""
    few = site.services.settings.model_copy(update={"max_package_bytes": 100_000})
    monkeypatch.setattr(site.front, "_settings", few)
    for chunks in (None, 50_000):
        answer = front("too-large", bytes(200_000), chunks=chunks)
        assert answer.status == 413
        assert b"Too large" in answer.body
