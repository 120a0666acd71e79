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
