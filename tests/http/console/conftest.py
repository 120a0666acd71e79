"""A server with the console in this process, and browsers of sorts: cookies and forms, nothing else."""

import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from html import unescape
from itertools import count

import pytest

from reference_server.errors import NotFound
from reference_server.jobs import context, running
from reference_server.registry import job_runs, jobs, sessions
from reference_server.registry.jobs import NewJob
from reference_server.security import credentials

PASSWORD = "correct horse battery"
HOSTILE = "<script>alert('x')</script>"
ORIGIN = "http://localhost"
# Of models: the site outlives the tests of a file.
NUMBERS = count()


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
    """Somebody at a browser that runs no script."""

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

    def get(self, path):
        return self.open(path)

    def post(self, path, data=None, *, token=None, origin=ORIGIN, headers=None, **options):
        """Send a form as a browser does, signed as the forms of its pages are unless told otherwise."""
        fields = {"form_token": self.token if token is None else token, **(data or {})}
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

    def with_cookie(self, value):
        """Take a session's cookie."""
        self.client.set_cookie("maas_session", value, path="/console")
        return self

    @property
    def session(self):
        """The session's token, which no page shows."""
        cookie = self.client.get_cookie("maas_session", path="/console")
        return cookie.value if cookie else None


def hostile_package(package_writer, text_graph):
    """Return a package whose every text would be a script if a page believed it."""
    folder = package_writer(text_graph(), labels=[HOSTILE, f"{HOSTILE}2"], example=HOSTILE)
    manifest = folder / "maas.toml"
    text = manifest.read_text(encoding="utf-8")
    for name in ("description", "license"):
        text = re.sub(rf"^{name} = .*$", f'{name} = "{HOSTILE}"', text, flags=re.MULTILINE)
    added = f'intended_use = "{HOSTILE}"\nlimitations = "{HOSTILE}"\n'
    manifest.write_text(added + text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def site(tmp_path_factory, make_server, text_package):
    """A server whose account `ada` has the public model `words` and `private`, two versions each."""
    made = make_server(tmp_path_factory.mktemp("site") / "data")
    made.ada, made.eve = made.register("ada"), made.register("eve")
    for model in ("words", "private"):
        for notes in ("first", "second"):
            query = f"again=true&notes={notes}"
            assert made.publish(made.ada, model, text_package, query=query).status == 201
    public = {"content-type": "application/json", **made.ada}
    body = b'{"visibility": "public"}'
    assert made.through_flask("PATCH", "/v1/models/words", headers=public, body=body).status == 200
    made.package = text_package
    yield made
    made.close()


@pytest.fixture
def anybody(site):
    """Somebody who has not logged in."""
    return Visitor(site)


@pytest.fixture
def ada(site):
    """The owner of the models, logged in."""
    return Visitor(site).log_in("ada")


@pytest.fixture
def eve(site):
    """Another account, logged in."""
    return Visitor(site).log_in("eve")


@pytest.fixture
def model(site):
    """Return a function that makes a private model of ada's with two versions, and returns its name."""

    def make(package=None, *, versions=2):
        name = f"own-{next(NUMBERS)}"
        for _ in range(versions):
            made = site.publish(site.ada, name, package or site.package, query="again=true")
            assert made.status == 201, made.json
        return name

    return make


@pytest.fixture(scope="session")
def visitor_of():
    """Return what makes visitors of a server."""
    return Visitor


@pytest.fixture(name="hostile_package")
def hostile_packages(package_writer, text_graph):
    """Return what `hostile_package` makes."""
    return hostile_package(package_writer, text_graph)


@pytest.fixture
def account_id(site):
    """Return the id of ada's account."""
    return site.through_flask("GET", "/v1/account", headers=site.ada).json["id"]


@pytest.fixture
def make_job(site, account_id):
    """Return what makes a job of ada's; it is queued, nothing takes it, and in the end it is cancelled."""
    services, made = site.services, []

    def make():
        kept = timedelta(days=1)
        new = NewJob(kind="evaluate")
        made.append(
            jobs.create(services.database, account_id, new, resumable=True, most_under_way=1000, kept=kept).id
        )
        return made[-1]

    yield make
    for job in made:
        with suppress(NotFound):
            jobs.cancel(services.database, services.artifacts, account_id, job)


@pytest.fixture
def run_next(site):
    """Return a function that does what a job process does once."""

    def run():
        services = site.services
        own = context.Services(services.settings, services.database, services.artifacts, services.pool)
        claim = job_runs.claim(services.database, "test", lease=timedelta(seconds=60))
        running.run(claim, own, stopping=lambda: False)

    return run


@pytest.fixture
def taking_jobs(site, monkeypatch):
    """Let the server take jobs, which the test runs; in the end there are none."""
    monkeypatch.setattr(site.services, "has_job_processes", True)
    with site.services.database.write() as session:
        session.query(jobs.JobRow).delete()
    yield
    with site.services.database.write() as session:
        session.query(jobs.JobRow).delete()


@pytest.fixture
def make_session(site, account_id):
    """Return a function that makes a session of ada's that ends in some seconds, and returns id and token."""

    def make(seconds):
        credential, db = credentials.issue("session"), site.services.database
        expires_at = db.clock() + timedelta(seconds=seconds)
        made = sessions.create(db, account_id, credential, expires_at=expires_at)
        return made.id, credential.secret

    return make


@pytest.fixture
def make_key(site):
    """Return a function that makes a key of ada's through the API, and returns id and secret."""

    def make(name="k"):
        made = site.post("/v1/keys", {"name": name, "scopes": ["predict"]}, headers=site.ada)
        return made.json["id"], made.json["secret"]

    return make
