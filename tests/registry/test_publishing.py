import io
import json
import os
import stat
import zipfile

import pytest
from pydantic import ValidationError
from sqlalchemy import event, func, select
from sqlalchemy.engine import Engine

from maas_client._package import open_package
from maas_client.types import PublishQuery
from reference_server.errors import Conflict, Forbidden, NotFound, Unavailable, Unprocessable
from reference_server.registry import aliases, models, publishing, versions
from reference_server.registry.artifacts import ArtifactStore
from reference_server.registry.tables import ModelRow, VersionRow


def rows(registry):
    """Return how many models and versions there are."""
    with registry.db.read() as session:
        return tuple(
            session.scalar(select(func.count()).select_from(table)) for table in (ModelRow, VersionRow)
        )


def default(registry, caller, model="words"):
    return aliases.get(registry.db, caller, model, "default")


def age(registry, seconds=7200):
    """Make everything in the store look as if it were written so long ago."""
    for file in registry.folder.iterdir():
        os.utime(file, (file.stat().st_mtime - seconds,) * 2)


def test_the_first_version_makes_the_model_and_is_its_default(registry, ada, package):
    """One call is enough to publish."""
    version, new = registry.publish(ada, "words", package(), notes="The first.", visibility="public")
    assert new
    assert (version.model, version.version, version.author) == ("words", 1, "ada")
    assert (version.notes, version.created_at) == ("The first.", registry.clock.now)
    assert version.aliases == ["default", "latest"]
    assert models.get(registry.db, ada, "words").visibility == "public"
    assert (default(registry, ada).revision, default(registry, ada).note) == (1, "The first.")


def test_a_model_is_private_unless_it_is_to_be_public(registry, ada, package):
    """Nothing is shown by leaving something out."""
    registry.publish(ada, "words", package())
    assert models.get(registry.db, ada, "words").visibility == "private"


def test_an_empty_model_gets_its_first_version(registry, ada, package):
    """A name that was claimed before is published to, and keeps its visibility."""
    made = models.create(registry.db, ada, name="words", visibility="public")
    registry.clock.advance(60)
    version, _ = registry.publish(ada, "words", package(), visibility="private")
    model = models.get(registry.db, ada, "words")
    assert (version.version, model.default_version, model.visibility) == (1, 1, "public")
    assert (model.created, model.updated_at) == (made.created, registry.clock.now)


def test_a_later_version_is_default_only_when_asked(registry, ada, package):
    """Who names no version is not moved to a new one by its publication."""
    registry.publish(ada, "words", package("1"))
    second, _ = registry.publish(ada, "words", package("2"))
    assert (second.version, second.aliases) == (2, ["latest"])
    assert default(registry, ada).version == 1
    third, _ = registry.publish(ada, "words", package("3"), set_default=True, notes="Better.")
    assert (third.version, third.aliases) == (3, ["default", "latest"])
    assert (default(registry, ada).revision, default(registry, ada).note) == (2, "Better.")


def test_the_same_content_is_not_published_twice(registry, ada, package):
    """However it was zipped, content that the model has is the version it has, with its first notes."""
    first, _ = registry.publish(ada, "words", package(), notes="First.")
    registry.publish(ada, "words", package("2"))
    registry.clock.advance(60)
    again, new = registry.publish(ada, "words", package(compression=zipfile.ZIP_STORED), notes="Again.")
    assert not new
    assert again == first.model_copy(update={"aliases": ["default"]})
    assert rows(registry) == (1, 2)
    assert len(registry.artifacts) == 2


def test_a_repeat_can_still_become_default(registry, ada, package):
    """Publishing what is there moves `default` if that was asked, once."""
    registry.publish(ada, "words", package("1"))
    registry.publish(ada, "words", package("2"))
    for _ in range(2):
        again, new = registry.publish(ada, "words", package("2"), set_default=True, notes="After all.")
        assert (again.version, again.aliases, new) == (2, ["default", "latest"], False)
        assert (default(registry, ada).revision, default(registry, ada).note) == (2, "After all.")


def test_two_models_may_have_the_same_content(registry, ada, bob, package):
    """Each has a version and a package of its own, under a key of its own."""
    one, _ = registry.publish(ada, "words", package())
    two, new = registry.publish(bob, "words", package())
    assert (one.digest, new, two.author) == (two.digest, True, "bob")
    assert rows(registry) == (2, 2)
    assert len(registry.artifacts) == 2


def test_what_is_stored_is_what_was_published(registry, ada, package):
    """The artifact opens to the same content, of the size that was told, and is nobody else's to read."""
    version, _ = registry.publish(ada, "words", package("graph"))
    (file,) = registry.folder.iterdir()
    target = versions.serving_target(registry.db, ada, "words", None)
    assert file.name == target.artifact
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with registry.open_package_of(target) as stored, open_package(stored) as opened:
        assert stored.seek(0, os.SEEK_END) == version.size
        assert opened.digest == version.digest
        assert opened.read("model.onnx") == b"graph"


def test_packages_can_lie_in_an_object_store(registry, ada, package):
    """Publishing, reading and sweeping ask no more of a store than fsspec gives."""
    registry.store = ArtifactStore("memory://publishing")
    version, _ = registry.publish(ada, "words", package())
    target = versions.serving_target(registry.db, ada, "words", None)
    with registry.open_package_of(target) as stored, open_package(stored) as opened:
        assert opened.digest == version.digest
    assert publishing.sweep(registry.db, registry.store) == []
    registry.store.delete(target.artifact)


def test_the_artifact_is_lasting_before_the_row_is_written(registry, ada, package, monkeypatch):
    """Sync the file, name it, sync the folder, and only then insert the version."""
    events, fsync, replace = [], os.fsync, os.replace

    def sync(descriptor):
        fsync(descriptor)
        events.append(f"fsync {'folder' if stat.S_ISDIR(os.fstat(descriptor).st_mode) else 'file'}")

    def rename(source, target):
        replace(source, target)
        events.append("replace")

    def look(connection, cursor, statement, *rest):
        if statement.startswith("INSERT INTO versions "):
            events.append("insert")

    def commit(connection):
        events.append("commit")

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    event.listen(Engine, "before_cursor_execute", look)
    event.listen(Engine, "commit", commit)
    try:
        registry.publish(ada, "words", package())
    finally:
        event.remove(Engine, "before_cursor_execute", look)
        event.remove(Engine, "commit", commit)
    assert events == ["fsync file", "replace", "fsync folder", "insert", "commit"]


def test_different_contents_at_once_get_consecutive_numbers(registry, ada, package, at_once):
    """Concurrent publishes to a model that is not there yet make it once, and none is lost."""
    made = at_once(*(lambda n=n: registry.publish(ada, "words", package(str(n))) for n in range(6)))
    assert sorted(version.version for version, _ in made) == [1, 2, 3, 4, 5, 6]
    assert all(new for _, new in made)
    assert len({version.digest for version, _ in made}) == 6
    assert rows(registry) == (1, 6)
    assert (default(registry, ada).version, default(registry, ada).revision) == (1, 1)
    for version, _ in made:
        assert versions.get(registry.db, ada, "words", str(version.version)).digest == version.digest


def test_the_same_content_at_once_is_one_version(registry, ada, package, at_once):
    """Of many who publish the same together one makes the version and all get it."""
    made = at_once(*(lambda: registry.publish(ada, "words", package()) for _ in range(6)))
    assert {version.version for version, _ in made} == {1}
    assert sum(new for _, new in made) == 1
    assert rows(registry) == (1, 1)
    assert len(registry.artifacts) == 1


def test_a_public_name_is_published_to_once_at_the_same_time(registry, package, at_once):
    """Of many accounts that publish under one name one gets it, the others leave an orphan at most."""
    callers = [registry.account(f"u{n}") for n in range(4)]

    def publish(caller):
        own = f"{caller.account_name}~words"
        try:
            return registry.publish(caller, own, package(caller.account_name), visibility="public")[0].author
        except Conflict as error:
            return error.code

    results = at_once(*(lambda caller=caller: publish(caller) for caller in callers))
    assert results.count("public_name_taken") == 3
    assert rows(registry) == (1, 1)
    age(registry)
    publishing.sweep(registry.db, registry.store)
    assert len(registry.artifacts) == 1


def test_a_race_for_the_same_content_still_sets_default(registry, ada, package):
    """Whoever asked for `default` gets it, even when another publishes the content first."""
    registry.publish(ada, "words", package("1"))

    def be_overtaken(opened):
        registry.publish(ada, "words", package("2"), notes="The other.")
        return registry.inspect(opened)

    version, new = registry.publish(
        ada, "words", package("2"), inspect=be_overtaken, set_default=True, notes="Mine."
    )
    assert (version.version, version.notes, new) == (2, "The other.", False)
    assert version.aliases == ["default", "latest"]
    assert (default(registry, ada).version, default(registry, ada).note) == (2, "Mine.")


REFUSED = {
    "words": (Forbidden, "not_owner"),
    "bob~words": (Forbidden, "not_owner"),
    "bob~secret": (NotFound, "model_not_found"),
    "bob~none": (NotFound, "model_not_found"),
    "nobody~words": (NotFound, "model_not_found"),
    "a b": (NotFound, "model_not_found"),
    "stats": (Unprocessable, "invalid_model_name"),
    "ada~words": (Conflict, "public_name_taken"),
}


@pytest.mark.parametrize(("model", "expected"), REFUSED.items(), ids=REFUSED)
def test_what_the_name_forbids_is_refused_before_the_work(registry, ada, bob, package, model, expected):  # noqa: PLR0917 - fixtures
    """Nobody's package is tried out or stored that could not be published."""
    registry.publish(bob, "words", package(), visibility="public")
    registry.publish(bob, "secret", package())
    before, stored = rows(registry), registry.artifacts
    with pytest.raises(expected[0]) as caught:
        registry.publish(ada, model, b"not even a zip", visibility="public")
    assert caught.value.code == expected[1]
    assert (rows(registry), registry.artifacts) == (before, stored)


def test_one_publishes_beside_a_public_model_by_the_exact_name(registry, ada, bob, package):
    """`account~name` makes one's own, though another's is called so in public."""
    registry.publish(bob, "words", package(), visibility="public")
    registry.publish(ada, "ada~words", package("mine"))
    version, new = registry.publish(ada, "words", package("mine too"))
    assert (version.model, version.version, new) == ("words", 2, True)


def archive(**files):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        for name, content in files.items():
            made.writestr(name.replace("__", ".").replace("_in_", "/"), content)
    return target.getvalue()


MANIFEST = 'task = "t"\ndescription = "d"\nlicense = "l"\nexample = {text = "x"}\n'
BAD_PACKAGES = {
    "no zip": b"no zip at all",
    "an empty file": b"",
    "an empty zip": archive(),
    "half a zip": archive(maas__toml=MANIFEST, model__onnx="x")[:-30],
    "no manifest": archive(model__onnx="x"),
    "no graph": archive(maas__toml=MANIFEST),
    "a manifest that is no TOML": archive(maas__toml="{", model__onnx="x"),
    "a manifest without a task": archive(maas__toml='description = "d"', model__onnx="x"),
    "a file too many": archive(maas__toml=MANIFEST, model__onnx="x", run__py="x"),
    "a folder": archive(data_in_maas__toml=MANIFEST, data_in_model__onnx="x"),
    "too large": archive(maas__toml=MANIFEST, model__onnx="x" * (2**20 + 1)),
}


@pytest.mark.parametrize("content", BAD_PACKAGES.values(), ids=BAD_PACKAGES)
def test_a_bad_package_is_refused_and_leaves_nothing(registry, ada, content):
    """What is wrong with a package is the caller's to repair; no model, version or file comes of it."""
    with pytest.raises(Unprocessable) as caught:
        registry.publish(ada, "words", content)
    assert caught.value.code == "invalid_package"
    assert (rows(registry), registry.artifacts) == ((0, 0), [])


@pytest.mark.parametrize(
    "failure", [Unprocessable("cannot serve", code="model_rejected"), Unavailable("busy"), MemoryError()]
)
def test_a_package_that_fails_its_trial_leaves_nothing(registry, ada, package, failure):
    """Whatever goes wrong in the trial reaches the caller as it is, and nothing is kept."""
    tried = []

    def fail(opened):
        tried.append(opened.manifest.task)
        raise failure

    with pytest.raises(type(failure)) as caught:
        registry.publish(ada, "words", package(), inspect=fail)
    assert caught.value is failure
    assert tried == ["text-classification"]
    assert (rows(registry), registry.artifacts) == ((0, 0), [])


def test_known_content_is_not_tried_again(registry, ada, package):
    """The costly part runs once for each content of a model."""

    def fail(opened):
        raise AssertionError

    registry.publish(ada, "words", package())
    assert registry.publish(ada, "words", package(), inspect=fail)[1] is False


def test_labels_of_a_file_stand_in_the_manifest(registry, ada):
    """Wherever labels are written in the package, the version tells them in one place."""
    content = archive(maas__toml=MANIFEST, model__onnx="x", labels__txt="cat\ndog\n")
    version, _ = registry.publish(ada, "words", content)
    assert version.manifest.labels == ["cat", "dog"]


def test_a_package_that_was_swept_away_is_not_recorded(registry, ada, package):
    """A row is never written for an artifact that is gone; the caller is told to come back."""

    def sweep_away(connection):
        for file in registry.folder.iterdir():
            if not file.name.startswith("."):
                file.unlink()

    event.listen(Engine, "begin", sweep_away)
    try:
        with pytest.raises(Unavailable) as caught:
            registry.publish(ada, "words", package())
    finally:
        event.remove(Engine, "begin", sweep_away)
    assert (caught.value.code, caught.value.retry_after) == ("busy", 1)
    assert rows(registry) == (0, 0)


def test_a_sweep_takes_orphans_and_never_a_version(registry, ada, package):
    """What no version refers to goes after an hour; what one refers to stays for ever."""
    registry.publish(ada, "words", package("1"))
    (known,) = registry.artifacts
    for name in ("orphan.zip", ".uploading-1"):
        (registry.folder / name).write_bytes(b"x")
    age(registry, seconds=3590)
    assert publishing.sweep(registry.db, registry.store) == []
    age(registry, seconds=20)
    (registry.folder / "fresh.zip").write_bytes(b"x")
    assert publishing.sweep(registry.db, registry.store) == [".uploading-1", "orphan.zip"]
    assert registry.artifacts == sorted([known, "fresh.zip"])


def test_the_limit_is_the_callers(registry, ada, package):
    """A package is measured by the limit that is given, in bytes of its files."""
    content = package("x" * 1000)
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        size = sum(entry.file_size for entry in opened.infolist())

    def publish(limit):
        return publishing.publish(
            registry.db,
            registry.store,
            ada,
            "words",
            io.BytesIO(content),
            query=PublishQuery(),
            inspect=registry.inspect,
            max_bytes=limit,
        )

    with pytest.raises(Unprocessable):
        publish(size - 1)
    assert publish(size)[1]


def test_a_version_tells_where_it_comes_from(registry, ada, package):
    """Parent, origin and free facts stand in it as they were given."""
    registry.publish(ada, "words", package("1"))
    facts = {"data": "sha256:ab", "rows": 3, "teacher": {"name": "große", "layers": [1, 2]}}
    version, _ = registry.publish(
        ada, "words", package("2"), parent=1, origin="quantized", lineage=json.dumps(facts)
    )
    assert (version.parent, version.origin, version.lineage) == (1, "quantized", facts)
    first = versions.get(registry.db, ada, "words", "1")
    assert (first.parent, first.origin, first.lineage) == (None, "uploaded", {})


def test_a_parent_must_be_there(registry, ada, package):
    """A version of the same model; for a new model there is none."""
    for model in ("none", "words"):
        registry.publish(ada, "words", package("1"))
        with pytest.raises(Unprocessable) as caught:
            registry.publish(ada, model, package("2"), parent=2)
        assert (caught.value.code, caught.value.param) == ("unknown_parent", "parent")
    assert rows(registry) == (1, 1)


@pytest.mark.parametrize(
    "lineage",
    [
        "[1]",
        "{",
        '{"a": NaN}',
        '{"a": "' + "x" * 16_384 + '"}',
        '{"a": "\\ud800"}',
        '{"a":' * 500 + "1" + "}" * 500,
    ],
    ids=["a list", "no JSON", "no number", "too large", "half a character", "too deep"],
)
def test_a_lineage_is_a_small_object(lineage):
    """What could not be kept is refused by the contract."""
    with pytest.raises(ValidationError):
        PublishQuery(lineage=lineage)


def test_the_same_content_is_published_again_when_asked(registry, ada, package):
    """As a version with a package of its own; without being asked, the newest of them is it."""
    first, _ = registry.publish(ada, "words", package())
    again, new = registry.publish(ada, "words", package(), again=True, notes="Again.")
    assert (again.version, new, again.digest, again.notes) == (2, True, first.digest, "Again.")
    assert len(registry.artifacts) == 2
    assert registry.publish(ada, "words", package())[0].version == 2
    assert len(registry.artifacts) == 2


def test_a_breaking_version_does_not_become_default(registry, ada, package):
    """The publish is refused whole, unless it is meant; the version alone is no problem."""
    registry.publish(ada, "words", package("1"))
    fewer = package("2", labels=["negative"])
    for moves in (True, False):
        with pytest.raises(Conflict) as caught:
            publishing.publish(
                registry.db,
                registry.store,
                ada,
                "words",
                io.BytesIO(fewer),
                query=PublishQuery(set_default=True),
                inspect=registry.inspect,
                max_bytes=2**20,
                moves_default=moves,
            )
        assert caught.value.code == "breaking_signature"
        assert [(each.code, each.param) for each in caught.value.details] == [("label_removed", "positive")]
    assert rows(registry) == (1, 1)
    assert registry.publish(ada, "words", fewer)[1]
    with pytest.raises(Conflict):
        registry.publish(ada, "words", fewer, set_default=True)
    version, _ = registry.publish(ada, "words", fewer, set_default=True, force=True)
    assert version.aliases == ["default", "latest"]
