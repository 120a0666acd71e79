"""Clients that change models, all at once, and write down what they asked for and what they were told."""

from __future__ import annotations

import itertools
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import requests
from packages import write_package

import maas_client
from maas_client._package import open_package

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from ledger import Change, Ledger

SHARED = ("shared-0", "shared-1")
ALIASES = ("default", "stable", "canary")
_CALL_SECONDS = 60.0
_FILLER_BYTES = 5000
_SERVER_ERROR, _UNAVAILABLE = 500, 503
_DELETES = {
    "delete_version": "/v1/models/{model}/versions/{version}",
    "delete_model": "/v1/models/{model}",
}


class Gone(Exception):  # noqa: N818 - a state of the server
    """The server no longer answers."""


@dataclass
class World:
    """What all clients share.

    Args:
        folder: Where their packages are.
        ledger: What they write into.
        key: Their API key.
        url: Of the server as it runs now.
    """

    folder: Path
    ledger: Ledger
    key: str = ""
    url: str = ""
    offers: frozenset[str] = frozenset()
    _marks: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look_at_routes(self) -> None:
        """Find out which of the changes that came later this server offers."""
        paths = requests.get(f"{self.url}/openapi.json", timeout=_CALL_SECONDS).json()["paths"]
        self.offers = frozenset(kind for kind, path in _DELETES.items() if "delete" in paths.get(path, {}))

    def client(self) -> maas_client.Client:
        """Return a client that tries each call once."""
        return maas_client.Client(self.key, self.url, max_retries=0, timeout=_CALL_SECONDS, proxies={})

    def new_package(self, *, filler: int) -> tuple[int, Path, str]:
        """Write a package that there never was; return its mark, folder and digest."""
        with self._lock:
            mark = next(self._marks)
        folder = write_package(self.folder / str(mark), mark, filler=filler)
        with open_package(folder) as package:
            return mark, folder, package.digest

    def versions(self, model: str) -> list[int]:
        """Return the versions that are there as far as anybody was told."""
        told = {
            each.told["version"]
            for each in self.ledger.of(model, "publish")
            if each.outcome == "acknowledged"
        }
        gone = {
            each.said["version"]
            for each in self.ledger.of(model, "delete_version")
            if each.outcome != "refused"
        }
        return sorted(told - gone)

    @contextmanager
    def asking(self, kind: str, model: str, **said: object) -> Iterator[Change]:
        """Write down a change, and what becomes of the call in the block.

        Raises:
            Gone: No answer came.
        """
        change = self.ledger.begin(kind, model, **said)
        try:
            yield change
        except maas_client.NotSentError as error:
            self.ledger.end(change, "refused", code="not_sent")
            raise Gone from error
        except (maas_client.ConnectionFailedError, maas_client.DeadlineError) as error:
            self.ledger.end(change, "unanswered", code=type(error).__name__)
            raise Gone from error
        except maas_client.StatusError as error:
            status = error.status or 0
            if status >= _SERVER_ERROR and status != _UNAVAILABLE:
                self.ledger.fault(f"change {change.number}, {kind} of {model}, was answered with {error}")
            self.ledger.end(change, "refused", code=error.code, status=status)


class Actor(threading.Thread):
    """One client; it ends when it is told to, or when the server no longer answers.

    Args:
        number: Its own.
        world: What all share.
        rng: What it decides by.
    """

    def __init__(self, number: int, world: World, rng: random.Random) -> None:
        super().__init__(name=f"actor-{number}", daemon=True)
        self._own = f"own-{number}"
        self._world = world
        self._rng = rng
        self._stopping = threading.Event()
        self.failure: BaseException | None = None

    def stop(self) -> None:
        """Begin no further call."""
        self._stopping.set()

    def run(self) -> None:
        """Make one change after the other."""
        weighted = {
            self._publish: 4,
            self._move: 6,
            self._roll_back: 3,
            self._show: 2,
            self._claim: 1,
            self._delete_version: 3 * ("delete_version" in self._world.offers),
            self._delete_model: 2 * ("delete_model" in self._world.offers),
        }
        try:
            with self._world.client() as client:
                while not self._stopping.is_set():
                    (act,) = self._rng.choices(list(weighted), list(weighted.values()))
                    act(client)
        except Gone:
            pass
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self.failure = error

    def _model(self) -> str:
        return self._rng.choice((*SHARED, self._own))

    def _publish(self, client: maas_client.Client) -> None:
        publish(self._world, client, self._model(), self._rng)

    def _move(self, client: maas_client.Client) -> None:
        model, alias = self._model(), self._rng.choice(ALIASES)
        versions = self._world.versions(model)
        if not versions:
            return
        expected = self._revision(client, model, alias) if self._rng.random() < 0.5 else None
        version = self._rng.choice(versions)
        with self._world.asking("move", model, alias=alias, version=version, expected=expected) as change:
            moved = client.model(model).aliases.move(
                alias, version=version, note=change.note, expected_revision=expected
            )
            self._world.ledger.end(change, "acknowledged", revision=moved.revision, version=moved.version)

    def _roll_back(self, client: maas_client.Client) -> None:
        model, alias = self._model(), self._rng.choice(ALIASES)
        with self._world.asking("rollback", model, alias=alias) as change:
            moved = client.model(model).aliases.rollback(alias, note=change.note)
            self._world.ledger.end(change, "acknowledged", revision=moved.revision, version=moved.version)

    def _show(self, client: maas_client.Client) -> None:
        visibility = self._rng.choice(("private", "public"))
        with self._world.asking("update", self._own, visibility=visibility) as change:
            client.models.update(self._own, visibility=visibility)
            self._world.ledger.end(change, "acknowledged")

    def _claim(self, client: maas_client.Client) -> None:
        name = f"claimed-{self._rng.getrandbits(48):012x}"
        with self._world.asking("create", name) as change:
            client.models.create(name)
            self._world.ledger.end(change, "acknowledged")

    def _delete_version(self, client: maas_client.Client) -> None:
        model = self._model()
        versions = self._world.versions(model)
        if versions:
            self._ask_to_delete("delete_version", model, version=self._rng.choice(versions))

    def _delete_model(self, client: maas_client.Client) -> None:
        name = f"brief-{self._rng.getrandbits(48):012x}"
        publish(self._world, client, name, self._rng, in_chunks=0.0)
        self._ask_to_delete("delete_model", name)

    def _ask_to_delete(self, kind: str, model: str, **said: int) -> None:
        path = _DELETES[kind].format(model=model, **said)
        with self._world.asking(kind, model, **said) as change:
            try:
                answer = requests.delete(
                    self._world.url + path,
                    headers={"Authorization": f"Bearer {self._world.key}"},
                    timeout=_CALL_SECONDS,
                )
            except requests.RequestException as error:
                raise maas_client.DroppedError(str(error)) from error
            if answer.ok:
                self._world.ledger.end(change, "acknowledged")
                return
            self._world.ledger.end(change, "refused", status=answer.status_code, answer=answer.text[:500])
            if answer.status_code >= _SERVER_ERROR and answer.status_code != _UNAVAILABLE:
                self._world.ledger.fault(
                    f"{kind} of {model} was answered with {answer.status_code}: {answer.text}"
                )

    def _revision(self, client: maas_client.Client, model: str, alias: str) -> int:
        """Return the revision that an alias has, 0 where there is none.

        Raises:
            Gone: No answer came.
        """
        try:
            return client.model(model).aliases.get(alias).revision
        except maas_client.NotFoundError:
            return 0
        except (maas_client.ConnectionFailedError, maas_client.DeadlineError) as error:
            raise Gone from error


def publish(
    world: World, client: maas_client.Client, model: str, rng: random.Random, *, in_chunks: float = 0.4
) -> None:
    """Publish what there never was, in one request or, as often as is said, in chunks."""
    filler = _FILLER_BYTES if rng.random() < in_chunks else 0
    mark, folder, digest = world.new_package(filler=filler)
    said = {"mark": mark, "digest": digest, "folder": str(folder), "set_default": rng.random() < 0.3}
    _send(world, client, model, said)


def publish_again(world: World, change: Change) -> None:
    """Make a publish again that was not answered; it must succeed, and go on where it was interrupted.

    Raises:
        AssertionError: It does not.
    """
    said = {name: change.said[name] for name in ("mark", "digest", "folder")}
    with world.client() as client:
        again = _send(world, client, change.model, {**said, "set_default": False})
    if again.outcome != "acknowledged":
        raise AssertionError(f"change {change.number} cannot be repeated: {again}")
    had, has = change.told.get("received", 0), again.told.get("first", 0)
    if not change.told.get("kept") and had and has and has <= had:
        raise AssertionError(f"the upload of change {change.number} had {had} bytes and began again at {has}")


def _send(world: World, client: maas_client.Client, model: str, said: dict[str, object]) -> Change:
    with world.asking("publish", model, **said) as change:

        def progress(done: int, _total: int | None) -> None:
            change.told.setdefault("first", done)
            change.told["received"] = done

        version = client.models.publish(
            str(said["folder"]),
            name=model,
            notes=change.note,
            set_default=bool(said["set_default"]),
            progress=progress,
        )
        world.ledger.end(change, "acknowledged", version=version.version, digest=version.digest)
    return change
