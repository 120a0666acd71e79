"""What an older server stored in clear: sealed piece by piece, whoever dies meanwhile."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update

from maas_client.types import PageQuery
from reference_server.errors import NotFound
from reference_server.registry import data_keys, job_runs, jobs, sealing_up, uploads, versions
from reference_server.registry import in_clear as permission
from reference_server.registry.jobs import NewJob
from reference_server.registry.sealed_artifacts import open_reader
from reference_server.registry.tables import (
    AccountKeyRow,
    DataKeyRow,
    JobLineRow,
    JobRow,
    StoreKeyRow,
    UploadChunkRow,
    UploadRow,
    VersionRow,
)
from reference_server.security.encryption import SealBrokenError
from reference_server.security.master_keys import MasterKeyError

MARK = b"what an older server wrote"


def in_clear(registry, name: str, content: bytes) -> str:
    """Store bytes as an older server did."""
    with registry.store.open_writer() as writer:
        writer.write(content)
        writer.commit(name)
    return name


@pytest.fixture
def old(registry, ada, package):
    """Return a registry as an older server left it: versions that share a package, an upload, jobs."""
    registry.ada = ada
    registry.content = package("old")
    for _ in range(2):
        registry.publish(ada, "words", registry.content, again=True)
    shared = in_clear(registry, f"{hashlib.sha256(registry.content).hexdigest()}.zip", registry.content)
    registry.upload, _ = uploads.begin(
        registry.db,
        ada.account_id,
        size=len(MARK),
        sha256=hashlib.sha256(MARK).hexdigest(),
        chunk_bytes=len(MARK),
    )
    chunk = in_clear(registry, "chunk-1", MARK)
    kept = {"resumable": True, "most_under_way": 9, "kept": timedelta(days=1)}
    made = [jobs.create(registry.db, ada.account_id, NewJob(kind="test"), **kept) for _ in range(2)]
    registry.jobs = [job.id for job in made]
    given = in_clear(registry, "job-input-1", MARK)
    with registry.db.write() as session:
        session.execute(update(VersionRow).values(artifact=shared, data_key=None))
        session.execute(update(UploadRow).values(data_key=None, received=len(MARK)))
        session.add(UploadChunkRow(upload_id=registry.upload.id, offset=0, artifact=chunk))
        session.execute(update(JobRow).values(data_key=None, sealed=None, request={"said": MARK.decode()}))
        session.execute(update(JobRow).where(JobRow.id == registry.jobs[0]).values(input=given))
        ended = {"state": "succeeded", "result": {"label": MARK.decode()}, "lines": 1}
        session.execute(update(JobRow).where(JobRow.id == registry.jobs[1]).values(ended))
        line = JobLineRow(job_id=registry.jobs[1], number=1, at=registry.clock(), text=MARK.decode())
        session.add(line)
        for keys in (DataKeyRow, AccountKeyRow, StoreKeyRow):
            session.execute(delete(keys))
    permission.permit_where_nothing_is_sealed(registry.db)
    known = {shared, chunk, given}
    for name in registry.artifacts:
        if name not in known:
            registry.store.delete(name)
    return registry


def everything(registry) -> bytes:
    """Return all bytes of the database and of the artifacts."""
    assert registry.db.overwrite()
    return b"".join(file.read_bytes() for file in sorted(registry.folder.parent.rglob("*")) if file.is_file())


def left(registry) -> tuple[int, int, int]:
    with registry.db.read() as session:
        found = sealing_up.count(session)
    return found.versions, found.uploads, found.jobs


def assert_all_there(registry) -> None:
    """See that everything reads as before."""
    for number in "12":
        target = versions.serving_target(registry.db, registry.ada, "words", number)
        with registry.open_package_of(target) as file:
            assert file.read() == registry.content
    with uploads.whole(registry.db, registry.store, registry.ada.account_id, registry.upload.id) as file:
        assert file.read() == MARK
    ended = jobs.get(registry.db, registry.ada.account_id, registry.jobs[1])
    assert (ended.result, ended.request) == ({"label": MARK.decode()}, {"said": MARK.decode()})
    log = jobs.read_log(registry.db, registry.ada.account_id, registry.jobs[1], PageQuery())
    assert [line.text for line in log.data] == [MARK.decode()]
    claim = job_runs.claim(registry.db, "one", lease=timedelta(seconds=9))
    assert claim is not None
    assert claim.input is not None
    with open_reader(registry.store, claim.input, claim.key) as file:
        assert file.read() == MARK


def test_everything_is_sealed_and_reads_as_before(old) -> None:
    """No byte of it is in clear afterwards; a job without a key is taken by nobody before."""
    assert left(old) == (2, 1, 2)
    assert job_runs.claim(old.db, "one", lease=timedelta(seconds=9)) is None
    assert MARK in everything(old)
    assert sealing_up.seal_up(old.db, old.store) == 5
    assert left(old) == (0, 0, 0)
    assert MARK not in everything(old)
    assert old.content[:64] not in everything(old)
    assert len(old.artifacts) == 4
    assert sealing_up.seal_up(old.db, old.store) == 0
    assert_all_there(old)


@pytest.mark.parametrize("step", range(5))
def test_whoever_dies_at_a_step_leaves_it_to_the_next_round(old, monkeypatch, step: int) -> None:
    """Each thing is sealed whole or as it was; what lies around is the sweep's."""
    keep, calls = data_keys.keep, iter(range(9))

    class Killed(BaseException):
        """The process ends here."""

    def dying(*arguments, **options):
        keep(*arguments, **options)
        if next(calls) == step:
            raise Killed

    monkeypatch.setattr(data_keys, "keep", dying)
    with pytest.raises(Killed):
        sealing_up.seal_up(old.db, old.store)
    monkeypatch.undo()
    assert sum(left(old)) == 5 - step
    assert sealing_up.seal_up(old.db, old.store) == 5 - step
    assert_all_there(old)


def test_what_is_lost_keeps_nothing_else_from_being_sealed(old) -> None:
    """It stays as it was, and is counted."""
    (shared,) = (name for name in old.artifacts if name.endswith(".zip"))
    old.store.delete(shared)
    assert sealing_up.seal_up(old.db, old.store) == 3
    assert left(old) == (2, 0, 0)


def test_what_changes_meanwhile_is_left_for_the_next_round(old, monkeypatch) -> None:
    """Nothing that came in between is lost."""
    keep = sealing_up._resealed

    def with_another(store, key, what, before):
        if what == "package":
            with old.db.write() as session:
                session.execute(update(VersionRow).values(artifact="another"))
        return keep(store, key, what, before)

    monkeypatch.setattr(sealing_up, "_resealed", with_another)
    sealing_up.seal_up(old.db, old.store)
    with old.db.read() as session:
        assert set(session.scalars(select(VersionRow.artifact))) == {"another"}
    assert not [name for name in old.artifacts if name.startswith("package-")]


def plant(registry) -> None:
    """Put clear things in the place of sealed ones, as somebody with the database and without a key can."""
    planted = in_clear(registry, "planted.zip", registry.content)
    with registry.db.write() as session:
        session.execute(update(VersionRow).values(artifact=planted, data_key=None))
        session.execute(update(UploadRow).values(data_key=None))
        session.execute(
            update(JobRow).values(data_key=None, sealed=None, state="queued", request={"said": "planted"})
        )
        session.execute(update(JobLineRow).values(sealed=None, text="planted"))


def assert_refused(registry) -> None:
    """See that nothing of what was planted is read, run or sealed."""
    target = versions.serving_target(registry.db, registry.ada, "words", "1")
    with pytest.raises(SealBrokenError, match="stands in clear"):
        registry.open_package_of(target)
    with (
        pytest.raises(NotFound),
        uploads.whole(registry.db, registry.store, registry.ada.account_id, registry.upload.id),
    ):
        pass
    shown = jobs.get(registry.db, registry.ada.account_id, registry.jobs[1])
    assert (shown.request, shown.error.code) == ({}, "job_damaged")
    log = jobs.read_log(registry.db, registry.ada.account_id, registry.jobs[1], PageQuery())
    assert "planted" not in log.data[0].text
    assert job_runs.claim(registry.db, "one", lease=timedelta(seconds=9)) is None


def test_once_all_is_sealed_nothing_in_clear_is_taken(old, caplog) -> None:
    """Whoever can write the database and has no key cannot put a clear thing in the place of a sealed one."""
    sealing_up.seal_up(old.db, old.store)
    plant(old)
    assert_refused(old)
    assert sealing_up.seal_up(old.db, old.store) == 0
    assert "somebody changed the database" in caplog.text
    assert left(old) == (2, 1, 2)
    permission.permit_where_nothing_is_sealed(old.db)
    assert_refused(old)


def test_the_permission_is_given_with_the_master_key_alone(old) -> None:
    """One that was made up does not open; so it permits nothing."""
    sealing_up.seal_up(old.db, old.store)
    plant(old)
    with old.db.write() as session:
        master = session.scalar(select(AccountKeyRow.master))
        session.add(StoreKeyRow(name="in clear", master=master, wrapped=bytes(60)))
    with pytest.raises(MasterKeyError):
        sealing_up.seal_up(old.db, old.store)
    with pytest.raises(MasterKeyError):
        old.open_package_of(versions.serving_target(old.db, old.ada, "words", "1"))
    assert left(old) == (2, 1, 2)


def test_a_sealed_job_that_was_changed_keeps_no_other_waiting(old) -> None:
    """It fails, and the next one is taken."""
    sealing_up.seal_up(old.db, old.store)
    kept = {"resumable": True, "most_under_way": 9, "kept": timedelta(days=1)}
    good = jobs.create(old.db, old.ada.account_id, NewJob(kind="test"), **kept)
    with old.db.write() as session:
        session.execute(update(JobRow).where(JobRow.id == old.jobs[0]).values(sealed=bytes(60)))
        session.execute(
            update(JobRow).where(JobRow.id == good.id).values(created_at=old.clock() + timedelta(1))
        )
    assert job_runs.claim(old.db, "one", lease=timedelta(seconds=9)) is None
    shown = jobs.get(old.db, old.ada.account_id, old.jobs[0])
    assert (shown.state, shown.error.code) == ("failed", "job_damaged")
    assert job_runs.claim(old.db, "one", lease=timedelta(seconds=9)).job_id == good.id
