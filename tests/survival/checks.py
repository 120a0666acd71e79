"""What must be true of a server after a death, held against the ledger."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import maas_client
from maas_client._package import open_package
from reference_server.registry import publishing
from reference_server.registry.artifacts import ArtifactStore
from reference_server.registry.database import Database

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Mapping

    from actors import World
    from ledger import Change

    from maas_client.types import Alias, AliasChange, Version

_TWO_HOURS = 7200
# Of the versions that were there at the check before, so many are looked at again.
_SAMPLE = 5


class Lost(AssertionError):  # noqa: N818 - what it says
    """Something is not as it must be."""


class Checks:
    """The checks of one run.

    Args:
        world: What the clients did.
        data: The server's data directory.
        rng: What chooses samples.
    """

    def __init__(self, world: World, data: Path, rng: random.Random) -> None:
        self._world = world
        self._data = data
        self._rng = rng
        self._seen: set[tuple[str, int]] = set()
        self.counts: Counter[str] = Counter()

    def run(self, *, everything: bool = False) -> None:
        """Check the server, which nobody else uses meanwhile.

        Args:
            everything: Whether every version is run and downloaded again, or what is new and a sample.

        Raises:
            Lost: With what is not as it must be.
        """
        with self._world.client() as client:
            for model in self._world.ledger.models():
                self._check_model(client, model, everything=everything)
        self._check_store()
        self.counts["checks"] += 1

    def _check_model(self, client: maas_client.Client, model: str, *, everything: bool) -> None:
        ledger = self._world.ledger
        try:
            shown = client.models.get(model)
            listed = {each.version: each for each in client.model(model).versions.list()}
        except maas_client.NotFoundError:
            _expect_gone(model, list(ledger.of(model)))
            return
        if any(each.outcome == "acknowledged" for each in ledger.of(model, "delete_model")):
            raise Lost(f"{model} was deleted, and is there")
        _check_visibility(shown.visibility, model, list(ledger.of(model, "update")))
        _check_versions(listed, model, list(ledger.of(model, "publish", "delete_version")))
        stored = [each for each in client.model(model).aliases.list() if each.name != "latest"]
        for alias in stored:
            moves = list(client.model(model).aliases.history(alias.name))
            self._check_history(model, alias, moves, listed)
        self._check_moves_are_there(model, {alias.name for alias in stored})
        self._check_content(client, model, listed, everything=everything)
        for change in ledger.of(model):
            _settle(change, listed)

    def _check_history(
        self, model: str, alias: Alias, moves: list[AliasChange], listed: Mapping[int, Version]
    ) -> None:
        where = f"{model}, alias {alias.name}"
        if [move.revision for move in moves] != list(range(len(moves), 0, -1)):
            raise Lost(f"{where}: its history has the revisions {[move.revision for move in moves]}")
        newest = moves[0]
        if (newest.to_version, newest.revision, newest.note) != (alias.version, alias.revision, alias.note):
            raise Lost(f"{where} is at {alias}, its history ends with {newest}")
        if alias.version not in listed:
            raise Lost(f"{where} points to version {alias.version}, which is not there")
        for later, earlier in pairwise(moves):
            if later.from_version != earlier.to_version:
                raise Lost(f"{where}: {later} does not follow {earlier}")
        by_note = {move.note: move for move in moves}
        if len(by_note) != len(moves):
            raise Lost(f"{where}: one change is twice in its history")
        for change in self._world.ledger.of(model, "move", "rollback"):
            if change.said["alias"] == alias.name:
                _check_move(where, change, by_note.pop(change.note, None))
        publishes = {change.note for change in self._world.ledger.of(model, "publish")}
        if strangers := set(by_note) - (publishes if alias.name == "default" else set()):
            raise Lost(f"{where}: nobody asked for {strangers}")
        self.counts["alias moves"] += len(moves)

    def _check_moves_are_there(self, model: str, aliases: set[str]) -> None:
        for change in self._world.ledger.of(model, "move", "rollback"):
            if change.outcome == "acknowledged" and change.said["alias"] not in aliases:
                raise Lost(f"{model} has no alias {change.said['alias']}, which {change} made")
            if change.outcome == "unanswered" and change.said["alias"] not in aliases:
                change.outcome = "refused"

    def _check_content(
        self, client: maas_client.Client, model: str, listed: Mapping[int, Version], *, everything: bool
    ) -> None:
        new = [number for number in listed if (model, number) not in self._seen]
        old = sorted(set(listed) - set(new))
        again = old if everything else self._rng.sample(old, min(_SAMPLE, len(old)))
        marks = {each.said["digest"]: each.said["mark"] for each in self._world.ledger.of(model, "publish")}
        for number in (*new, *again):
            _check_version(client, model, listed[number], marks[listed[number].digest])
            self._seen.add((model, number))
            self.counts["versions run and downloaded"] += 1

    def _check_store(self) -> None:
        database = self._data / "maas.db"
        with closing(sqlite3.connect(database)) as connection:
            for pragma, clean in (("integrity_check", [("ok",)]), ("foreign_key_check", [])):
                if (found := connection.execute(f"PRAGMA {pragma}").fetchall()) != clean:
                    raise Lost(f"PRAGMA {pragma} says {found}")
        self._check_orphans(f"sqlite:///{database}", self._data / "artifacts")
        with closing(sqlite3.connect(database)) as connection:
            artifacts = {name for (name,) in connection.execute("SELECT artifact FROM versions")}
            chunks = {name for (name,) in connection.execute("SELECT artifact FROM upload_chunks")}
        _check_artifacts(self._data / "artifacts", artifacts, chunks)

    def _check_orphans(self, url: str, folder: Path) -> None:
        """Sweep as the server does, as if two hours had passed."""
        for file in folder.iterdir():
            long_ago = file.stat().st_mtime - _TWO_HOURS
            os.utime(file, (long_ago, long_ago))
        db = Database(url)
        self.counts["orphans swept"] += len(publishing.sweep(db, ArtifactStore(str(folder))))
        db.dispose()


def _expect_gone(model: str, changes: Iterable[Change]) -> None:
    if any(each.kind == "delete_model" and each.outcome != "refused" for each in changes):
        return
    for change in changes:
        if change.outcome == "acknowledged":
            raise Lost(f"{model} is not there, and {change} was acknowledged")
        change.outcome = "refused"


def _check_visibility(visibility: str, model: str, updates: Iterable[Change]) -> None:
    possible = {"private"}
    for update in updates:
        if update.outcome == "acknowledged":
            possible = {update.said["visibility"]}
        elif update.outcome == "unanswered":
            possible.add(update.said["visibility"])
    if visibility not in possible:
        raise Lost(f"{model} is {visibility}, and must be {possible}")
    for update in updates:
        # What was not done by now must not be done later; each model has one client that updates it.
        if update.outcome == "unanswered":
            update.outcome = "acknowledged" if update.said["visibility"] == visibility else "refused"


def _check_versions(listed: Mapping[int, Version], model: str, changes: Iterable[Change]) -> None:
    deletes = [change for change in changes if change.kind == "delete_version"]
    publishes = {change.note: change for change in changes if change.kind == "publish"}
    maybe_gone = {change.said["version"] for change in deletes if change.outcome != "refused"}
    for change in deletes:
        if change.outcome == "acknowledged" and change.said["version"] in listed:
            raise Lost(f"{model}: version {change.said['version']} was deleted, and is there: {change}")
    for change in publishes.values():
        number = change.told.get("version")
        if change.outcome != "acknowledged" or number in maybe_gone:
            continue
        if number not in listed or listed[number].digest != change.said["digest"]:
            raise Lost(f"{model}: {change} was acknowledged, and {listed.get(number)} is there")
    if not maybe_gone and sorted(listed) != list(range(1, len(listed) + 1)):
        raise Lost(f"{model} has the versions {sorted(listed)}")
    _check_numbers(listed, model, publishes)


def _check_numbers(listed: Mapping[int, Version], model: str, publishes: Mapping[str, Change]) -> None:
    digests = [version.digest for version in listed.values()]
    if len(set(digests)) != len(digests):
        raise Lost(f"{model}: the same content is two versions: {listed}")
    for version in listed.values():
        asked = publishes.get(version.notes)
        if asked is None or asked.said["digest"] != version.digest:
            raise Lost(f"{model}: nobody published {version}")
    given: dict[int, str] = {}
    for change in publishes.values():
        number, digest = change.told.get("version"), change.said["digest"]
        if number is not None and given.setdefault(number, digest) != digest:
            raise Lost(f"{model}: the number of {change} was given to another content as well")


def _check_move(where: str, change: Change, found: AliasChange | None) -> None:
    if change.outcome == "unanswered":
        change.outcome = "refused" if found is None else "acknowledged"
    if change.outcome == "refused" and found is not None:
        raise Lost(f"{where}: {change} was refused, or was not there before, and {found} is in its history")
    if change.outcome == "acknowledged" and found is None:
        raise Lost(f"{where}: {change} was acknowledged, and is not in its history")
    if found is None:
        return
    if "revision" in change.told and (found.revision, found.to_version) != (
        change.told["revision"],
        change.told["version"],
    ):
        raise Lost(f"{where}: {change} was acknowledged, and {found} is in its history")
    if change.kind == "move" and found.to_version != change.said["version"]:
        raise Lost(f"{where}: {change} became {found}")


def _check_version(client: maas_client.Client, model: str, version: Version, mark: int) -> None:
    """Run a version, and hold its package against its digest: the SDK compares sha256 and digest itself."""
    result = client.predict(model, x=[1.0], version=version.version)
    if (result["y"], result.digest) != ([mark + 1.0], version.digest):
        raise Lost(f"{model}, version {version.version}: x + {mark} is said to be {result} for x = 1")
    with tempfile.TemporaryDirectory() as folder:
        file = client.model(model).versions.download(version.version, Path(folder))
        with open_package(file) as package:
            if package.digest != version.digest:
                raise Lost(f"{model}, version {version.version}: its package has another digest")


def _check_artifacts(folder: Path, artifacts: set[str], chunks: set[str]) -> None:
    """See that each is there, and no other; that they open, downloads have told (`_check_version`)."""
    there = {file.name for file in folder.iterdir()}
    if there != artifacts | chunks:
        missing, orphans = (artifacts | chunks) - there, there - artifacts - chunks
        raise Lost(f"of the artifacts {missing} are missing and {orphans} are nobody's")


def _settle(change: Change, listed: Mapping[int, Version]) -> None:
    """Write down what is now known of a change without an answer; it must stay so."""
    if change.kind == "delete_version" and change.outcome == "unanswered":
        change.outcome = "refused" if change.said["version"] in listed else "acknowledged"
    if change.kind == "publish" and change.outcome == "unanswered":
        change.told["kept"] = any(version.notes == change.note for version in listed.values())
    if change.kind == "create" and change.outcome == "unanswered":
        change.outcome = "acknowledged"
    if change.kind == "delete_model" and change.outcome == "unanswered":
        change.outcome = "refused"
