"""`maas-server backup` and `restore`: consistent, whole or not there, and never over anything."""

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tarfile
import threading
import time

import pytest
from click.testing import CliRunner

from maas_client._package import open_package, write_zip
from maas_client.types import PublishQuery, TaskSignature, TensorSignature
from reference_server.backups import making
from reference_server.backups.making import back_up
from reference_server.backups.manifest import BackupError
from reference_server.backups.restoring import restore
from reference_server.cli import main
from reference_server.registry import accounts, deletion, publishing, versions
from reference_server.registry.artifacts import ArtifactStore
from reference_server.registry.database import Database
from reference_server.registry.folders import make_folder
from reference_server.security.callers import ALL_SCOPES, Caller
from reference_server.settings import Settings
from reference_server.stores import open_database


class Inspection:
    signature = TaskSignature(inputs=[{"name": "text", "type": "string"}], outputs=[])
    tensors = TensorSignature(inputs=[{"name": "text", "datatype": "BYTES", "shape": [-1]}], outputs=[])
    batch_invariant = True


class Store:
    """An embedded store in a folder, with one account that publishes."""

    def __init__(self, folder):
        self.settings = Settings(data_dir=folder)
        self.db, self.artifacts = open_database(self.settings), ArtifactStore(self.settings.artifacts)
        made = accounts.create(
            self.db, email="a@example.com", password_hash="x", name="ada", role="user", policy_version="1"
        )
        self.ada = Caller(made.id, made.name, made.role, "ses", "session", ALL_SCOPES)

    def publish(self, package, model="words", **query):
        with package.open("rb") as source:
            return publishing.publish(
                self.db,
                self.artifacts,
                self.ada,
                model,
                source,
                query=PublishQuery(**query),
                inspect=lambda _: Inspection(),
                max_bytes=2**24,
            )[0]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MAAS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def store(tmp_path, empty_database):
    make_folder(tmp_path / "data")
    shutil.copy(empty_database, tmp_path / "data" / "maas.db")
    made = Store(tmp_path / "data")
    yield made
    made.db.dispose()


@pytest.fixture
def zips(tmp_path, package_writer, text_graph):
    """Return a function that makes the zip of a package, each time another."""
    count = iter(range(1000))

    def make():
        folder = package_writer(text_graph())
        (folder / "README.md").write_text(f"number {next(count)}")
        target = tmp_path / f"{folder.name}.zip"
        with open_package(folder) as package, target.open("wb") as file:
            write_zip(package, file)
        return target

    return make


def tree(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def hidden(folder):
    return [each.name for each in folder.iterdir() if each.name.startswith(".")]


@pytest.mark.parametrize("name", ["copy", "copy.tar"])
def test_what_was_backed_up_comes_back(store, zips, tmp_path, name):
    """Rows and artifacts are the same; orphans stay out; everything is its owner's alone."""
    first = store.publish(zips())
    (tmp_path / "data" / "artifacts" / "orphan.zip").write_bytes(b"nobody's")
    (tmp_path / "data" / "master.key").write_bytes(b"secret")
    made = back_up(store.settings, tmp_path / name)
    assert made.files[0].path.startswith("artifacts/")
    assert len(made.files) == 2
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == (0o600 if name.endswith(".tar") else 0o700)
    restore(tmp_path / name, tmp_path / "again")
    back = tree(tmp_path / "again")
    assert set(back) == {file.path for file in made.files} | {"restored.json"}
    assert all(
        stat.S_IMODE(file.stat().st_mode) == (0o700 if file.is_dir() else 0o600)
        for file in (tmp_path / "again", *(tmp_path / "again").rglob("*"))
    )
    again = Database(f"sqlite:///{tmp_path / 'again' / 'maas.db'}")
    assert versions.get(again, store.ada, "words", "1").digest == first.digest
    again.dispose()
    assert hidden(tmp_path) == []


def test_a_backup_is_of_one_moment_while_others_publish_and_delete(store, zips, tmp_path):
    """Whatever is published and deleted meanwhile, each copy names exactly the artifacts that it has."""
    packages, ended, failures = [zips() for _ in range(6)], threading.Event(), []

    def change():
        try:
            while not ended.is_set():
                for package in packages:
                    store.publish(package, model="coming")
                deletion.delete_model(store.db, store.artifacts, store.ada, "coming")
        except Exception as error:  # noqa: BLE001 - looked at below
            failures.append(error)

    store.publish(zips())
    changing = threading.Thread(target=change)
    changing.start()
    try:
        for number in range(8):
            back_up(store.settings, tmp_path / f"copy-{number}")
    finally:
        ended.set()
        changing.join()
    assert not failures
    for number in range(8):
        restore(tmp_path / f"copy-{number}", tmp_path / f"again-{number}")
        with sqlite3.connect(tmp_path / f"again-{number}" / "maas.db") as connection:
            named = {row[0] for row in connection.execute("SELECT artifact FROM versions")}
        connection.close()
        assert named == {file.name for file in (tmp_path / f"again-{number}" / "artifacts").iterdir()}


def test_what_is_deleted_while_it_is_copied_is_not_in_the_copy(store, zips, tmp_path, monkeypatch):
    """Of two versions that go in the middle one was copied already and one was not: both are left out."""
    kept = store.publish(zips())
    (stays,) = (file.name for file in (tmp_path / "data" / "artifacts").iterdir())
    going = ("going", "gone")
    for model in going:
        store.publish(zips(), model=model)
    copied, deleted = making._copied, []

    def delete_after_the_first(artifacts, name, *rest):
        is_copied = copied(artifacts, name, *rest)
        if not deleted and name != stays:
            for model in going:
                deleted.extend(deletion.delete_model(store.db, store.artifacts, store.ada, model).contents)
        return is_copied

    monkeypatch.setattr(making, "_copied", delete_after_the_first)
    made = back_up(store.settings, tmp_path / "copy")
    assert len(deleted) == 2
    assert len(made.files) == 2
    assert len(list((tmp_path / "copy" / "artifacts").iterdir())) == 1
    restore(tmp_path / "copy", tmp_path / "again")
    again = Database(f"sqlite:///{tmp_path / 'again' / 'maas.db'}")
    assert versions.get(again, store.ada, "words", "1").digest == kept.digest
    again.dispose()


def test_an_artifact_that_is_lost_is_told(store, zips, tmp_path):
    """A store that is not whole gives no backup that looks so."""
    store.publish(zips())
    (lost,) = (tmp_path / "data" / "artifacts").iterdir()
    lost.unlink()
    with pytest.raises(BackupError, match=rf"{lost.name}.*doctor"):
        back_up(store.settings, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("name", ["copy", "copy.tar"])
def test_nothing_is_overwritten(store, tmp_path, name):
    """Neither a backup by a backup nor a data directory by a restore."""
    back_up(store.settings, tmp_path / name)
    with pytest.raises(BackupError, match="is there already"):
        back_up(store.settings, tmp_path / name)
    before = tree(tmp_path / "data")
    with pytest.raises(BackupError, match="is there already"):
        restore(tmp_path / name, tmp_path / "data")
    assert tree(tmp_path / "data") == before


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("name", ["copy", "copy.tar"])
def test_an_interrupted_backup_does_not_look_whole(store, tmp_path, signal_number, name):
    """After a death in the middle there is nothing of that name, and what is left cannot be restored."""
    artifacts = tmp_path / "data" / "artifacts"
    # A package that never ends to be read: the copy is certainly under way when the signal comes.
    os.mkfifo(artifacts / "endless")
    with sqlite3.connect(tmp_path / "data" / "maas.db") as connection:
        connection.execute(
            "INSERT INTO uploads (id, account_id, sha256, size, received, created_at, expires_at)"
            " SELECT 'upl', id, 'x', 1, 1, created_at, '2999-01-01' FROM accounts"
        )
        connection.execute(
            "INSERT INTO upload_chunks (upload_id, offset, artifact) VALUES ('upl', 0, 'endless')"
        )
    connection.close()
    command = [sys.executable, "-c", "from reference_server.cli import main; main()", "backup"]
    process = subprocess.Popen([*command, tmp_path / name, "--data-dir", tmp_path / "data"])
    until = time.monotonic() + 20
    while not any((tmp_path / each / "maas.db").exists() for each in hidden(tmp_path)):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal_number)
    process.wait(20)
    assert process.returncode != 0
    assert not (tmp_path / name).exists()
    for left in hidden(tmp_path):
        assert signal_number == signal.SIGKILL
        with pytest.raises(BackupError, match=r"no backup\.json"):
            restore(tmp_path / left, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def _flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(lambda copy: _flip(next((copy / "artifacts").iterdir())), "damaged", id="an artifact"),
        pytest.param(lambda copy: _flip(copy / "maas.db"), "damaged", id="the database"),
        pytest.param(
            lambda copy: next((copy / "artifacts").iterdir()).unlink(), "no artifacts/", id="a file less"
        ),
        pytest.param(lambda copy: (copy / "backup.json").unlink(), r"no backup\.json", id="no manifest"),
        pytest.param(
            lambda copy: (copy / "backup.json").write_text("{}"), "cannot be read", id="no manifest's form"
        ),
    ],
)
def test_a_damaged_backup_is_refused(store, zips, tmp_path, damage, says):
    """Before anything is made of it."""
    store.publish(zips())
    back_up(store.settings, tmp_path / "copy")
    damage(tmp_path / "copy")
    with pytest.raises(BackupError, match=says):
        restore(tmp_path / "copy", tmp_path / "again")
    assert not (tmp_path / "again").exists()
    assert hidden(tmp_path) == []


def test_a_cut_archive_is_refused(store, zips, tmp_path):
    """At whatever length it was cut off."""
    store.publish(zips())
    back_up(store.settings, tmp_path / "copy.tar")
    whole = (tmp_path / "copy.tar").read_bytes()
    for share in (0.01, 0.5, 0.9):
        (tmp_path / "cut.tar").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(BackupError):
            restore(tmp_path / "cut.tar", tmp_path / "again")
        assert not (tmp_path / "again").exists()


def test_a_path_that_leads_out_of_the_folder_is_refused(store, tmp_path):
    """A manifest names the database and artifacts, and nothing else can be named."""
    back_up(store.settings, tmp_path / "copy")
    manifest = json.loads((tmp_path / "copy" / "backup.json").read_text())
    for path in ("artifacts/../../evil", "../evil", "/etc/passwd", "artifacts/..", "artifacts/.hidden"):
        manifest["files"].append({"path": path, "size": 0, "sha256": "0" * 64})
        (tmp_path / "copy" / "backup.json").write_text(json.dumps(manifest))
        with pytest.raises(BackupError, match="cannot be read"):
            restore(tmp_path / "copy", tmp_path / "again")
        manifest["files"].pop()


def test_a_link_in_an_archive_is_no_file(store, tmp_path):
    """What it points to is not read."""
    back_up(store.settings, tmp_path / "copy.tar")
    with tarfile.open(tmp_path / "copy.tar") as archive:
        manifest = archive.extractfile("backup.json").read()
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        link = tarfile.TarInfo("maas.db")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "data" / "maas.db")
        archive.addfile(link)
        (tmp_path / "manifest").write_bytes(manifest)
        archive.add(tmp_path / "manifest", "backup.json")
    with pytest.raises(BackupError):
        restore(tmp_path / "evil.tar", tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"database_url": "postgresql://db/maas"}, "pg_dump"),
        ({"artifacts_url": "s3://bucket/prefix"}, "replication"),
        ({}, "there is no store"),
    ],
)
def test_what_is_not_embedded_is_told_what_to_use_instead(tmp_path, options, says):
    """Other stores have means of their own, and an empty folder has nothing."""
    with pytest.raises(BackupError, match=says):
        back_up(Settings(data_dir=tmp_path / "none", **options), tmp_path / "copy")


def test_a_newer_servers_backup_is_refused(store, tmp_path):
    """Its tables are not known here."""
    back_up(store.settings, tmp_path / "copy")
    with sqlite3.connect(tmp_path / "data" / "maas.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(BackupError, match="schema 9999"):
        back_up(store.settings, tmp_path / "newer")


def test_the_commands_say_what_they_did_and_what_to_keep_apart(store, zips, tmp_path):
    """With the master key's warning, and the one about what was revoked."""
    store.publish(zips())
    data, copy, again = (str(tmp_path / name) for name in ("data", "copy", "again"))
    made = CliRunner().invoke(main, ["backup", copy, "--data-dir", data])
    assert made.exit_code == 0, made.output
    assert "the database and 1 artifacts" in made.output
    assert "master key is not in it" in made.output
    back = CliRunner().invoke(main, ["restore", copy, "--data-dir", again])
    assert back.exit_code == 0, back.output
    assert "revoked after that hold again" in back.output
    refused = CliRunner().invoke(main, ["restore", copy, "--data-dir", again])
    assert refused.exit_code == 1
    assert "is there already and is not overwritten" in refused.output
