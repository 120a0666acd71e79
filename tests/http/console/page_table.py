"""What every page of the console answers to whom: one line for each method and path.

`needs` is what the table of pages must say too. `other` is what another account's session gets where the path
names what is ada's and private. A page that needs a session sends everybody else to the log-in, and a POST
without the token of this browser's forms, or from another site, is 403 to everybody.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One page, and a form for it that is right."""

    route: str
    needs: str
    other: int
    form: dict[str, str] = field(default_factory=dict)

    @property
    def method(self):
        return self.route.split()[0]

    @property
    def path(self):
        return self.route.split()[1]


LOGIN = {"email": "ada@example.com", "password": "correct horse battery"}
ABSENT = {"email": "nobody@example.com", "password": "correct horse battery"}

# A line is easier to compare with its neighbours than to read when it is broken.
# fmt: off
ROWS = (
    Row("GET /console", "open", 303),
    Row("GET /console/style.css", "open", 200),
    Row("GET /console/script.js", "open", 200),
    Row("POST /console/language", "open", 303, {"language": "zh", "back": "/console/login"}),
    Row("GET /console/login", "open", 200),
    Row("POST /console/login", "open", 401, ABSENT),
    Row("GET /console/register", "open", 200),
    Row("POST /console/register", "open", 422, ABSENT),
    Row("POST /console/logout", "session", 303),
    Row("GET /console/models", "session", 200),
    Row("GET /console/models/{model}", "session", 404),
    Row("POST /console/models/{model}/aliases", "session", 404, {"alias": "best", "version": "1"}),
    Row("POST /console/models/{model}/aliases/{alias}/rollback", "session", 404),
    Row("POST /console/models/{model}/traffic", "session", 404, {"weight.1": "1"}),
    Row("POST /console/models/{model}/traffic/withdraw", "session", 404),
    Row("POST /console/models/{model}/shares", "session", 404, {"account": "eve", "role": "owner"}),
    Row("POST /console/models/{model}/shares/{account}/remove", "session", 404),
    Row("POST /console/models/{model}/visibility", "session", 404, {"visibility": "public"}),
    Row("GET /console/models/{model}/erase", "session", 404),
    Row("POST /console/models/{model}/erase", "session", 404, {"confirmation": "private"}),
    Row("GET /console/publish", "session", 200),
    Row("POST /console/models/{model}/versions", "session", 404, {"notes": "none", "package": "none"}),
    Row("GET /console/models/{model}/versions", "session", 404),
    Row("GET /console/models/{model}/versions/{version}", "session", 404),
    Row("POST /console/models/{model}/versions/{version}/state", "session", 404, {"state": "retired"}),
    Row("POST /console/models/{model}/versions/{version}/erase", "session", 404, {"confirmation": "1"}),
    Row("GET /console/models/{model}/try", "session", 404),
    Row("POST /console/models/{model}/try", "session", 404, {"input.text": "good"}),
    Row("GET /console/models/{model}/capture", "session", 404),
    Row("POST /console/models/{model}/capture", "session", 404, {"enabled": "yes"}),
    Row("POST /console/models/{model}/capture/erase", "session", 404, {"confirmation": "private"}),
    Row("GET /console/models/{model}/evaluate", "session", 404),
    Row("POST /console/models/{model}/evaluate", "session", 404, {"inputs": "text,label\ngood,positive"}),
    Row("GET /console/models/{model}/advise", "session", 404),
    Row("POST /console/models/{model}/advise", "session", 404, {"objective": "memory"}),
    Row("POST /console/jobs/{job}/apply", "session", 404),
    Row("GET /console/fine-tunes", "session", 200),
    Row("POST /console/fine-tunes", "session", 422, {"name": "x", "train": "text,label\ngood,up"}),
    Row("GET /console/keys", "session", 200),
    Row("POST /console/keys", "session", 201, {"name": "k", "scopes": "predict"}),
    Row("POST /console/keys/{key}/rotate", "session", 404),
    Row("POST /console/keys/{key}/revoke", "session", 404),
    Row("GET /console/jobs", "session", 200),
    Row("GET /console/jobs/{job}", "session", 404),
    Row("GET /console/jobs/{job}/progress", "session", 404),
    Row("GET /console/jobs/{job}/events", "session", 404),
    Row("POST /console/jobs/{job}/cancel", "session", 404),
    Row("POST /console/jobs/{job}/delete", "session", 404),
    Row("GET /console/usage", "session", 200),
    Row("GET /console/audit", "session", 200),
    Row("GET /console/account", "session", 200),
    Row("POST /console/account/password", "session", 422, {"current_password": "x", "new_password": "short"}),
    Row("POST /console/account/sessions/{session}/end", "session", 404),
    Row("POST /console/account/export", "session", 200),
    Row("GET /console/account/erase", "session", 200),
    Row("POST /console/account/erase", "session", 401, {"password": "some other words"}),
    Row("GET /console/erasures/{erasure}", "open", 404),
    Row("GET /console/erasures/{erasure}/receipt", "open", 404),
)
# fmt: on
