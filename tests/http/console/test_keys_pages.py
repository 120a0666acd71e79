"""Keys: made, shown once, given a new secret, revoked."""

import re

import pytest


def secret_in(shown):
    found = re.findall(r"maas_key_[0-9A-Za-z]{46}", shown.text)
    return found[0] if found else None


def test_a_key_is_shown_once_and_works(ada, site):
    """In the answer to the form alone: not in the list, and in no address."""
    form = {
        "name": "nightly",
        "scopes": ["models:read", "predict"],
        "expires_at": "2031-02-03T04:05",
        "models": "words, sentiment-*",
        "networks": "127.0.0.0/8",
        "requests_per_minute": "100",
        "rows_per_day": "1000",
    }
    made = ada.post("/console/keys", form)
    assert made.status == 201
    secret = secret_in(made)
    held = {"authorization": f"Bearer {secret}"}
    assert site.through_flask("GET", "/v1/models/words", headers=held).status == 200
    listed = ada.get("/console/keys")
    assert secret_in(listed) is None
    assert listed.has(
        "nightly", "2031-02-03 04:05 UTC", "words, sentiment-*", "127.0.0.0/8", "1000 rows a day"
    )
    assert secret[:17] in listed.text


@pytest.mark.parametrize(
    ("wrong", "at"),
    [
        ({"name": ""}, "name"),
        ({"expires_at": "2001-01-01T00:00"}, "expires_at"),
        ({"networks": "somewhere"}, "networks"),
        ({"requests_per_minute": "many"}, "requests_per_minute"),
        ({"rows_per_day": "0"}, "rows_per_day"),
        ({"models": "a b***c"}, "models"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(ada, wrong, at):
    """The message is tied to it for screen readers, and what was typed is still there."""
    shown = ada.post("/console/keys", {"name": "typed-in", "scopes": "predict", **wrong})
    assert shown.status == 422
    (field,) = re.findall(r'<input [^>]*aria-invalid="true"[^>]*>', shown.text)
    assert f'name="{at}"' in field
    assert f"f-{at}-error" in re.search(r'aria-describedby="([^"]+)"', field)[1]
    assert f'id="f-{at}-error"' in shown.text
    assert at == "name" or shown.has('value="typed-in"')


def test_a_key_needs_a_scope(ada):
    """The boxes are a group, and so is what is said of them."""
    shown = ada.post("/console/keys", {"name": "none"})
    assert shown.status == 422
    assert shown.has('id="f-scopes-error"')


def test_a_key_gets_a_new_secret_and_is_revoked(ada, site, make_key):
    """The old one stops at once."""
    key, old = make_key()
    rotated = ada.post(f"/console/keys/{key}/rotate")
    new = secret_in(rotated)
    assert new not in (None, old)

    def works(secret):
        body = b'{"text": "good"}'
        headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
        return site.through_flask("POST", "/v1/models/words/predict", headers=headers, body=body).status

    assert (works(old), works(new)) == (401, 200)
    assert ada.follow(ada.post(f"/console/keys/{key}/revoke")).has("The key is revoked")
    assert works(new) == 401
