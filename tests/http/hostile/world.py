"""What a fuzz run meets: an account with models, keys, uploads and jobs, an operator, and names to learn."""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import TYPE_CHECKING, Any

from reference_server.registry import accounts

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSWORD = "correct horse battery"
TEXT = {"text": "a good day"}
TENSOR = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a good day"]}
SCOPES = ["models:read", "models:write", "predict", "keys", "jobs", "audit"]
# Which field of a reply names what a path's parameter asks for.
_NAMED = {"upl": "upload", "job": "job", "key": "key", "ses": "session"}
_numbers = itertools.count()


class World:
    """One account and all that it has.

    Args:
        server: Where.
        packages: Zips of packages: a text classifier, another of it, and a text encoder.
    """

    def __init__(self, server: Any, packages: tuple[bytes, bytes, bytes]) -> None:
        self.server, self.packages = server, packages
        number = next(_numbers)
        # Names of this world alone: an earlier one's may have been made public.
        self.name, words, vectors = f"fuzz-{number}", f"words-{number}", f"vectors-{number}"
        self.vectors = vectors
        server.register(f"guest-{number}")
        self.session = server.register(self.name)
        self.operator = self._operator(f"boss-{number}")
        self.names: dict[str, list[str]] = {
            "model": [words, f"{self.name}~{words}", words, vectors, f"empty-{number}"],
            "version": ["1", "2", "default", "latest"],
            "alias": ["default", "stable"],
            "offset": ["0"],
            "account": [f"guest-{number}"],
            "session": ["current"],
            "key": [],
            "upload": [],
            "job": [],
        }
        for model, package in zip((words, words, vectors), packages, strict=True):
            answer = self._send(f"/v1/models/{model}/versions", package, "application/zip")
            assert answer.status_code == 201, answer.data
        self._post("/v1/models", {"name": f"empty-{number}"})
        self._post("/v1/keys", {"name": "one", "scopes": SCOPES})
        self._post("/v1/uploads", self.upload)
        for _ in range(2):
            self._post(f"/v1/models/{words}/evaluate", {**self.evaluation, "background": True})
        # One that has ended can be deleted, and an alias that has moved can be rolled back.
        self._post(f"/v1/jobs/{self.names['job'][0]}/cancel", {})
        for version in (1, 2):
            server.flask.test_client().put(
                f"/v1/models/{words}/aliases/stable", json={"version": version}, headers=self.session
            )

    @property
    def upload(self) -> dict[str, object]:
        """What is said of a package before it is uploaded in chunks."""
        content = self.packages[1]
        return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    @property
    def evaluation(self) -> dict[str, object]:
        """One instance and what is true of it."""
        return {"inputs": [TEXT], "targets": ["positive"]}

    @property
    def fine_tune(self) -> dict[str, object]:
        """Rows of two labels, and the model that they are to make."""
        inputs = [{"text": f"a {word} day"} for word in ("good", "bad", "fun", "dull")]
        rows = {"inputs": inputs, "targets": ["up", "down", "up", "down"]}
        return {"name": f"{self.name}-tuned", "train": rows, "validation": 0}

    @property
    def well_formed(self) -> dict[str, Any]:
        """A body that succeeds, by the operation that takes it."""
        prediction, inference = TEXT, {"inputs": [TENSOR]}
        account = {"email": f"{self.name}@example.com", "password": PASSWORD}
        return {
            "sessions.log_in": account,
            "accounts.register": {
                **account,
                "email": f"{self.name}-{next(_numbers)}@example.com",
                "accept_policy": self.server.services.settings.policy_version,
            },
            "accounts.change_password": {"current_password": PASSWORD, "new_password": PASSWORD},
            "predict.predict": prediction,
            "predict.predict_version": prediction,
            "evaluate.evaluate": self.evaluation,
            "evaluate.evaluate_version": self.evaluation,
            "explain.explain": {"inputs": TEXT, "budget": 16},
            "explain.explain_version": {"inputs": TEXT, "budget": 16},
            "open-inference.infer": inference,
            "open-inference.infer_version": inference,
            "fine-tunes.create": self.fine_tune,
            "embeddings.create": {"model": self.vectors, "input": "a good day"},
            "versions.publish": self.packages[1],
            "uploads.begin": self.upload,
            "uploads.add_chunk": self.packages[1],
            "aliases.move": {"version": 2},
            "aliases.roll_back": {},
            "capture.change": {"enabled": True, "days": 2, "sample": 0.5},
            "traffic.change": {"splits": [{"version": 1, "weight": 1}, {"version": 2, "weight": 1}]},
        }

    def log_in(self) -> None:
        """Begin a new session."""
        account = {"email": f"{self.name}@example.com", "password": PASSWORD}
        answer = self._send("/v1/sessions", json.dumps(account).encode(), "application/json")
        assert answer.status_code == 201, answer.data
        self.session = {"authorization": f"Bearer {answer.json['token']}"}

    def learn(self, body: bytes) -> None:
        """Remember what an answer names."""
        try:
            content = json.loads(body)
        except ValueError:
            return
        for each in content.get("data", [content]) if isinstance(content, dict) else ():
            found = each.get("id") if isinstance(each, dict) else None
            kind = _NAMED.get(str(found).partition("_")[0])
            if kind is not None and found not in self.names[kind]:
                self.names[kind].append(found)

    def _operator(self, name: str) -> dict[str, str]:
        headers: dict[str, str] = self.server.register(name)
        database = self.server.services.database
        accounts.set_role(database, accounts.find(database, name).id, "operator")
        return headers

    def _post(self, path: str, value: Mapping[str, object]) -> None:
        answer = self._send(path, json.dumps(value).encode(), "application/json")
        assert answer.status_code < 300, answer.data
        self.learn(answer.data)

    def _send(self, path: str, body: bytes, kind: str) -> Any:
        headers = {"content-type": kind, **self.session}
        return self.server.flask.test_client().post(path, headers=headers, data=body)
