"""What every route answers to whom: the promise about access, one line for each method and path.

`needs` is what the table of endpoints must say too: a scope, `session`, `operator` or `open`. Then, in order,
the statuses that come back to log-in sessions of
    stranger    another account, to which nothing was given
    operator    an account of the service's operators, to which nothing was given either
    reader, publisher, co-owner    accounts that the private model is shared with under these roles
    owner       the account whose model, key, upload, job and session the path names
The private model has the versions 1 and 2, `default` at 2, and the alias `best`, which moved from 1 to 2.
What stands in braces within a body is put in as in a path. A key with the needed scope alone gets what the
owner's session gets; with any other scope, 403; a credential that does not hold, 401. `open` asks for none.
"""

from dataclasses import dataclass, field
from typing import Any

PASSWORD = "correct horse battery"
PEOPLE = ("stranger", "operator", "reader", "publisher", "co-owner", "owner")


@dataclass(frozen=True)
class Row:
    """One route, and a request to it that is right."""

    route: str
    needs: str
    answers: str
    json: Any = None
    body: bytes = b""
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def method(self):
        return self.route.split()[0]

    @property
    def changes(self):
        """Whether it leaves something other than it was."""
        return self.method != "GET" and self.needs != "predict"

    @property
    def path(self):
        return self.route.split()[1]

    def expected(self, person):
        """Return the status that comes back to one of `PEOPLE`."""
        return int(self.answers.split()[PEOPLE.index(person)])


ANYBODY = "200 200 200 200 200 200"
READS = "404 404 200 200 200 200"
PUBLISHES = "404 404 403 200 200 200"
OWNS = "404 404 403 403 200 200"
ERASES = "404 404 403 403 204 204"
OWN_ACCOUNT = "404 404 404 404 404 200"
OWN_ACCOUNT_ERASES = "404 404 404 404 404 204"

# With the right one the person would be gone for the rows after it; `test_erasure.py` does that.
NOT_WITHOUT_PASSWORD = "401 401 401 401 401 401"

TEXT = {"text": "a good day"}
EXPLAINED = {"inputs": TEXT}
LABELLED = {"inputs": [TEXT], "targets": ["positive"]}
ONE_CLASS = {"name": "mine", "train": {"inputs": [TEXT, {"text": "b"}], "targets": ["x", "x"]}}
TENSORS = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good"]}]}
SPLIT = {"splits": [{"version": 1, "weight": 1}, {"version": 2, "weight": 1}]}
NEW_ACCOUNT = {
    "email": "{new}@example.com",
    "password": PASSWORD,
    "accept_policy": "{policy}",
    "name": "{new}",
}
LOGIN = {"email": "ada@example.com", "password": PASSWORD}
SAME_PASSWORD = {"current_password": PASSWORD, "new_password": PASSWORD}
UPLOAD = {"size": 9, "sha256": "{sha256}"}
CHUNK = {"content-type": "application/octet-stream"}
NINE = b"nine byte"
ZIP = {"content-type": "application/zip"}

# A line is easier to compare with its neighbours than to read when it is broken.
# fmt: off
ROWS = (
    Row("GET /", "open", ANYBODY),
    Row("GET /healthz", "open", ANYBODY),
    Row("GET /openapi.json", "open", ANYBODY),
    Row("GET /docs", "open", ANYBODY),
    Row("GET /v2", "open", ANYBODY),
    Row("GET /v2/health/live", "open", ANYBODY),
    Row("GET /v2/health/ready", "open", ANYBODY),
    Row("POST /v1/accounts", "open", "201 201 201 201 201 201", json=NEW_ACCOUNT),
    Row("POST /v1/sessions", "open", "201 201 201 201 201 201", json=LOGIN),
    Row("GET /v1/account", "session", ANYBODY),
    Row("PATCH /v1/account", "session", ANYBODY, json=SAME_PASSWORD),
    Row("GET /v1/account/export", "session", ANYBODY),
    Row("GET /v1/account/erasure", "session", ANYBODY),
    Row("DELETE /v1/account", "session", NOT_WITHOUT_PASSWORD, json={"password": "some other words"}),
    Row("GET /v1/erasures/{erasure}", "open", ANYBODY),
    Row("GET /v1/sessions", "session", ANYBODY),
    Row("DELETE /v1/sessions/{session}", "session", OWN_ACCOUNT_ERASES),
    Row("GET /v1/keys", "keys", ANYBODY),
    Row("POST /v1/keys", "keys", "201 201 201 201 201 201", json={"name": "x", "scopes": ["keys"]}),
    Row("GET /v1/keys/{key}", "keys", OWN_ACCOUNT),
    Row("DELETE /v1/keys/{key}", "keys", OWN_ACCOUNT_ERASES),
    Row("POST /v1/keys/{key}/rotate", "keys", OWN_ACCOUNT, json={}),
    Row("GET /v1/models", "models:read", ANYBODY),
    Row("POST /v1/models", "models:write", "201 201 201 201 201 201", json={"name": "{new}"}),
    Row("GET /v1/models/{model}", "models:read", READS),
    Row("PATCH /v1/models/{model}", "models:write", OWNS, json={"downloadable": True}),
    Row("DELETE /v1/models/{model}", "models:write", OWNS),
    Row("GET /v1/models/{model}/versions", "models:read", READS),
    Row("POST /v1/models/{model}/versions", "models:write", PUBLISHES, body=b"{zip}", headers=ZIP),
    Row("GET /v1/models/{model}/versions/{version}", "models:read", READS),
    Row("PATCH /v1/models/{model}/versions/{version}", "models:write", PUBLISHES, json={"state": "retired"}),
    Row("DELETE /v1/models/{model}/versions/{version}", "models:write", OWNS),
    Row("GET /v1/models/{model}/versions/{version}/package", "models:read", PUBLISHES),
    Row("POST /v1/uploads", "models:write", "201 201 201 201 201 201", json=UPLOAD),
    Row("GET /v1/uploads/{upload}", "models:write", OWN_ACCOUNT),
    Row("PUT /v1/uploads/{upload}/chunks/{offset}", "models:write", OWN_ACCOUNT, body=NINE, headers=CHUNK),
    Row("DELETE /v1/uploads/{upload}", "models:write", OWN_ACCOUNT_ERASES),
    Row("GET /v1/models/{model}/aliases", "models:read", READS),
    Row("GET /v1/models/{model}/aliases/{alias}", "models:read", READS),
    Row("PUT /v1/models/{model}/aliases/{alias}", "models:write", PUBLISHES, json={"version": 1}),
    Row("POST /v1/models/{model}/aliases/{alias}/rollback", "models:write", PUBLISHES, json={}),
    Row("GET /v1/models/{model}/aliases/{alias}/history", "models:read", READS),
    Row("GET /v1/models/{model}/history", "models:read", READS),
    Row("GET /v1/models/{model}/shares", "models:read", OWNS),
    Row("PUT /v1/models/{model}/shares/{account}", "models:write", OWNS, json={"role": "publisher"}),
    Row("DELETE /v1/models/{model}/shares/{account}", "models:write", ERASES),
    Row("GET /v1/models/{model}/capture", "models:read", READS),
    Row("PUT /v1/models/{model}/capture", "models:write", OWNS, json={"enabled": True, "days": 7}),
    Row("GET /v1/models/{model}/captured", "models:read", OWNS),
    Row("DELETE /v1/models/{model}/captured", "models:write", OWNS),
    Row("GET /v1/models/{model}/traffic", "models:read", READS),
    Row("PUT /v1/models/{model}/traffic", "models:write", PUBLISHES, json=SPLIT),
    Row("DELETE /v1/models/{model}/traffic", "models:write", PUBLISHES),
    Row("GET /v1/models/{model}/served", "models:read", READS),
    Row("GET /v1/models/{model}/comparison", "models:read", PUBLISHES, query="a=1&b=2"),
    Row("POST /v1/models/{model}/predict", "predict", READS, json=TEXT),
    Row("POST /v1/models/{model}/versions/{version}/predict", "predict", READS, json=TEXT),
    Row("POST /v1/models/{model}/evaluate", "predict", READS, json=LABELLED),
    # It needs the scope `jobs` too, as `test_jobs` sees; no key has both alone, so that nothing is sent here.
    Row("POST /v1/models/{model}/evaluations", "predict", "404 404 400 400 400 400", query="rows=1"),
    Row("POST /v1/models/{model}/versions/{version}/evaluate", "predict", READS, json=LABELLED),
    Row("POST /v1/models/{model}/explain", "predict", READS, json=EXPLAINED),
    Row("POST /v1/models/{model}/versions/{version}/explain", "predict", READS, json=EXPLAINED),
    # As with evaluations.
    Row("POST /v1/models/{model}/explanations", "predict", "404 404 400 400 400 400", query="rows=1"),
    # The model is none for embeddings, which whoever sees it is told.
    Row("POST /v1/embeddings", "predict", "404 404 422 422 422 422", json={"model": "{model}", "input": "a"}),
    # They need the scope `models:write` too; what is wrong with the rows is told before that is asked.
    Row("POST /v1/fine-tunes", "jobs", "422 422 422 422 422 422", json=ONE_CLASS),
    Row("POST /v1/fine-tunes/large", "jobs", "400 400 400 400 400 400", query='rows=2&options={"name":"x"}'),
    # They need the scope `predict` too; that the body is empty is told before that is asked.
    Row("POST /v1/models/{model}/advice", "jobs", "404 404 400 400 400 400"),
    Row("POST /v1/models/{model}/versions/{version}/advice", "jobs", "404 404 400 400 400 400"),
    Row("GET /v1/models/{model}/versions/{version}/advice", "models:read", READS),
    # It needs the scope `models:write` too; that the job is none of an advice is told before that is asked.
    Row("POST /v1/jobs/{job}/apply", "jobs", "404 404 404 404 404 422", json={}),
    Row("GET /v1/jobs", "jobs", ANYBODY),
    Row("GET /v1/jobs/{job}", "jobs", OWN_ACCOUNT),
    Row("POST /v1/jobs/{job}/cancel", "jobs", OWN_ACCOUNT),
    Row("DELETE /v1/jobs/{job}", "jobs", OWN_ACCOUNT_ERASES),
    Row("GET /v1/jobs/{job}/log", "jobs", OWN_ACCOUNT),
    Row("GET /v1/jobs/{job}/events", "jobs", OWN_ACCOUNT),
    Row("GET /v1/usage", "audit", ANYBODY),
    Row("GET /v1/audit", "audit", ANYBODY),
    Row("GET /v1/admin/audit", "operator", "403 200 403 403 403 403"),
    Row("GET /v1/admin/audit/head", "operator", "403 200 403 403 403 403"),
    Row("GET /metrics", "operator", "403 200 403 403 403 403"),
    Row("GET /v2/models/stats", "models:read", ANYBODY),
    Row("GET /v2/models/{model}", "models:read", READS),
    Row("GET /v2/models/{model}/versions/{version}", "models:read", READS),
    Row("GET /v2/models/{model}/ready", "models:read", READS),
    Row("GET /v2/models/{model}/versions/{version}/ready", "models:read", READS),
    Row("GET /v2/models/{model}/config", "models:read", READS),
    Row("GET /v2/models/{model}/versions/{version}/config", "models:read", READS),
    Row("GET /v2/models/{model}/stats", "models:read", READS),
    Row("GET /v2/models/{model}/versions/{version}/stats", "models:read", READS),
    Row("POST /v2/models/{model}/infer", "predict", READS, json=TENSORS),
    Row("POST /v2/models/{model}/versions/{version}/infer", "predict", READS, json=TENSORS),
    Row("POST /v2/repository/index", "models:read", ANYBODY),
    Row("POST /v2/repository/models/{model}/load", "models:write", OWNS),
    Row("POST /v2/repository/models/{model}/unload", "models:write", OWNS),
)
# fmt: on
