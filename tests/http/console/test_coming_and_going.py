"""Registering, logging in and out; the cookies; the language."""

import pytest

from reference_server.console.cookies import Cookies
from reference_server.settings import Settings

PASSWORD = "correct horse battery"


def attributes(cookie):
    """Return a Set-Cookie header's attributes."""
    return {
        part.strip().partition("=")[0].lower(): part.strip().partition("=")[2] for part in cookie.split(";")
    }


def test_a_session_lies_in_a_cookie_that_no_script_and_no_other_site_reaches(ada, anybody):
    """HttpOnly, SameSite=Strict, for the console alone, and as long as the session."""
    shown = anybody.post("/console/login", {"email": "ada@example.com", "password": PASSWORD})
    (cookie,) = [each for each in shown.cookies if each.startswith("maas_session=")]
    found = attributes(cookie)
    assert found["maas_session"].startswith("maas_ses_")
    assert {"httponly", "samesite", "path", "max-age"} <= found.keys()
    assert (found["samesite"], found["path"], found["max-age"]) == ("Strict", "/console", "43200")
    assert "secure" not in found


@pytest.mark.parametrize(
    "settings",
    [
        {"tls_cert": "/c.pem", "tls_key": "/k.pem"},
        {"insecure_behind_proxy": True},
        {"public_url": "https://models.example"},
    ],
)
def test_under_tls_a_cookie_belongs_to_this_host_alone(settings):
    """`__Host-`, Secure and the path that browsers ask for with it."""
    cookies = Cookies.of(Settings(**settings))
    for cookie in (cookies.new_session("x", seconds=9), cookies.new_visitor()[1], cookies.new_language("zh")):
        found = attributes(cookie)
        assert cookie.startswith("__Host-maas_")
        assert found["path"] == "/"
        assert {"secure", "httponly", "samesite"} <= found.keys()
        assert "domain" not in found
    assert cookies.session({"cookie": "__Host-maas_session=a"}) == "a"
    assert cookies.session({"cookie": "maas_session=a"}) is None


def test_the_first_page_is_the_catalogue_or_the_log_in(anybody, ada):
    """Whoever has logged in is not asked again."""
    assert anybody.get("/console").headers["Location"] == "/console/login"
    assert ada.get("/console").headers["Location"] == "/console/models"


def test_somebody_registers_and_logs_in(anybody):
    """By forms alone; the account is the API's."""
    assert anybody.get("/console/register").has("usage policy, version 2026-11")
    given = {"email": "new@example.com", "password": PASSWORD, "name": "new-one"}
    refused = anybody.post("/console/register", given)
    assert refused.status == 422
    assert refused.has("Accept the usage policy", 'value="new@example.com"')
    assert PASSWORD not in refused.text
    done = anybody.follow(anybody.post("/console/register", {**given, "accept_policy": "2026-11"}))
    assert done.has("Your account is made")
    anybody.log_in("new")
    assert anybody.get("/console/account").has("new-one", "new@example.com")


def test_a_wrong_password_is_told_and_nothing_else(anybody):
    """Nobody learns whether there is such an account; the field at fault is not named either."""
    answers = [
        anybody.post("/console/login", {"email": email, "password": "wrong-wrong"})
        for email in ("ada@example.com", "nobody@example.com")
    ]
    assert {shown.status for shown in answers} == {401}
    assert all(shown.has("do not belong together") and not anybody.session for shown in answers)
    texts = {shown.text.replace("nobody", "ada").replace(shown.token, "") for shown in answers}
    assert len(texts) == 1


def test_logging_in_is_slowed_down_as_in_the_api(make_server, tmp_path, visitor_of):
    """The tries of both count together."""
    server = make_server(tmp_path / "data", log_in_free_tries=2)
    try:
        server.register("ada")
        visitor = visitor_of(server)
        wrong = {"email": "ada@example.com", "password": "wrong-wrong"}
        statuses = [visitor.post("/console/login", wrong).status for _ in range(3)]
        assert statuses == [401, 401, 429]
        shown = visitor.post("/console/login", wrong)
        assert int(shown.headers["retry-after"]) >= 1
        assert shown.has("Try again in")
        assert server.post("/v1/sessions", wrong).status == 429
    finally:
        server.close()


def test_logging_out_ends_the_session_at_the_service(ada, site):
    """The cookie goes, and its token is worth nothing any more."""
    held = {"authorization": f"Bearer {ada.session}"}
    assert site.through_flask("GET", "/v1/account", headers=held).status == 200
    shown = ada.post("/console/logout")
    assert [attributes(each)["max-age"] for each in shown.cookies if "maas_session" in each] == ["0"]
    assert site.through_flask("GET", "/v1/account", headers=held).status == 401
    assert ada.follow(shown).has("You are logged out")


def test_a_session_that_was_ended_elsewhere_is_asked_to_log_in(ada, site):
    """Also in the middle of a page."""
    held = {"authorization": f"Bearer {ada.session}"}
    site.through_flask("DELETE", "/v1/sessions/current", headers=held)
    assert ada.follow(ada.get("/console/keys")).has("Your session has ended")


@pytest.mark.parametrize(
    ("cookie", "accept", "expected"),
    [
        (None, None, "en"),
        (None, "zh-CN,zh;q=0.9,en;q=0.5", "zh"),
        (None, "de", "en"),
        ("en", "zh", "en"),
        ("zh", "en", "zh"),
        ("<script>", "zh", "zh"),
    ],
)
def test_the_language_is_what_was_chosen_or_what_the_browser_asks_for(anybody, cookie, accept, expected):
    """A cookie goes before Accept-Language."""
    if cookie:
        anybody.client.set_cookie("maas_language", cookie, path="/console")
    shown = anybody.open("/console/login", headers={"accept-language": accept} if accept else {})
    assert f'<html lang="{expected}">' in shown.text


def test_the_language_is_switched_by_a_form(anybody):
    """And the visitor stays on the page."""
    shown = anybody.post("/console/language", {"language": "zh", "back": "/console/register"})
    assert shown.headers["Location"] == "/console/register"
    assert anybody.follow(shown).has("使用政策")


@pytest.mark.parametrize(
    "back", ["//evil.example/x", "https://evil.example", "/console/../../x", "\\\\evil", ""]
)
def test_the_way_back_never_leaves_the_console(anybody, back):
    """Whatever the form says, it is a path below /console."""
    location = anybody.post("/console/language", {"language": "en", "back": back}).headers["Location"]
    assert location == "/console" or location.startswith("/console/")
    assert ".." not in location
    assert "\\" not in location


def test_the_console_can_be_left_out(make_server, tmp_path):
    """Then nothing of it is there, and the API is."""
    server = make_server(tmp_path / "data", console=False)
    try:
        for path in ("/console", "/console/login", "/console/style.css"):
            answer = server.through_front("GET", path)
            assert (answer.status, answer.json["error"]["code"]) == (404, "route_not_found")
        assert server.through_front("GET", "/").status == 200
    finally:
        server.close()
