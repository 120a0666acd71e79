"""A server with the console in this process, and a browser of sorts: cookies, forms, nothing else."""

import re
from dataclasses import dataclass, field
from html import unescape

import pytest

PASSWORD = "correct horse battery"


@dataclass
class Shown:
    """A page as it came."""

    status: int
    headers: dict
    cookies: list
    text: str

    @property
    def token(self):
        """What its forms are signed with."""
        return re.search(r'name="form_token" value="([^"]+)"', self.text)[1]

    def has(self, *words):
        return all(word in unescape(self.text) for word in words)


@dataclass
class Visitor:
    """Somebody at a browser without a script."""

    server: object
    headers: dict = field(default_factory=dict)

    def __post_init__(self):
        self.client = self.server.flask.test_client()

    def open(self, path, *, method="GET", data=None, headers=None, **options):
        answer = self.client.open(
            path, method=method, data=data, headers={**self.headers, **(headers or {})}, **options
        )
        cookies = answer.headers.getlist("set-cookie")
        return Shown(answer.status_code, dict(answer.headers), cookies, answer.get_data(as_text=True))

    def get(self, path, **options):
        return self.open(path, **options)

    def post(self, path, data=None, *, token=None, origin="http://localhost", headers=None, **options):
        """Send a form as a browser does, with the token of the log-in page if none is given."""
        token = self.token if token is None else token
        fields = {"form_token": token, **(data or {})}
        given = {"origin": origin} if origin else {}
        return self.open(path, method="POST", data=fields, headers={**given, **(headers or {})}, **options)

    @property
    def token(self):
        return self.get("/console/login").token

    def follow(self, shown):
        """Open where a page sends on to."""
        assert shown.status == 303, (shown.status, shown.text)
        return self.get(shown.headers["Location"])

    def log_in(self, name):
        """Log in as an account of the tests."""
        shown = self.post("/console/login", {"email": f"{name}@example.com", "password": PASSWORD})
        assert shown.status == 303, shown.text
        return self

    @property
    def session(self):
        """The session's token, which no page shows."""
        cookie = self.client.get_cookie("maas_session", path="/console")
        return cookie.value if cookie else None


@pytest.fixture(scope="session")
def site(tmp_path_factory, make_server, text_package):
    """A server whose account `ada` has the public model `words` with two versions; `eve` has nothing."""
    made = make_server(tmp_path_factory.mktemp("site") / "data")
    made.ada, made.eve = made.register("ada"), made.register("eve")
    assert made.publish(made.ada, "words", text_package, query="visibility=public").status == 201
    again = made.publish(made.ada, "words", text_package, query="again=true&notes=better")
    assert again.status == 201
    made.package = text_package
    yield made
    made.close()


@pytest.fixture
def anybody(site):
    """Somebody who has not logged in."""
    return Visitor(site)


@pytest.fixture
def ada(site):
    """The owner of the model, logged in."""
    return Visitor(site).log_in("ada")


@pytest.fixture
def eve(site):
    """Another account, logged in."""
    return Visitor(site).log_in("eve")


@pytest.fixture(name="Visitor")
def visitors():
    """Return `Visitor`."""
    return Visitor
