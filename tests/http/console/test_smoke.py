import pytest

PATHS = [
    "models",
    "models?q=word&sort=-created",
    "keys",
    "jobs",
    "usage",
    "audit",
    "account",
    "account/erase",
    "models/words",
    "models/words/versions?a=1&b=2",
    "models/words/versions/1",
    "models/words/try",
    "models/words/erase",
    "models/nope",
    "erasures/nope",
]


@pytest.mark.parametrize("p", PATHS)
def test_page(ada, p):
    s = ada.get("/console/" + p)
    assert s.status == (404 if "nope" in p else 200), s.text[-3000:]


def test_flow(anybody, ada, site):
    for p in ["login", "register"]:
        s = anybody.get("/console/" + p)
        assert s.status == 200, s.text
    s = ada.post("/console/models/words/try", {"input.text": "a good day", "act": "predict", "version": ""})
    assert s.status == 200, s.text
    assert s.has("positive"), s.text
    s = ada.post("/console/keys", {"name": "k", "scopes": "predict"})
    assert s.status == 201, s.text
    s = ada.post("/console/keys", {"name": ""})
    assert s.status == 422, s.text
