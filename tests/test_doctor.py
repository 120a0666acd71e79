"""`maas-server doctor`: every check on a set-up that is made for it."""

import json
import os
import shutil
import socket
import sqlite3
import sys
from datetime import UTC, datetime, timedelta

import onnxruntime as ort
import pytest
import trustme
from click.testing import CliRunner

from reference_server import doctor, open_files, store_checks
from reference_server import settings as settings_module
from reference_server.cli import main
from reference_server.registry import data_keys
from reference_server.registry.database import upgrade
from reference_server.registry.tables import AccountRow
from reference_server.runtime.cuda_parts import CUDA_PROVIDER
from reference_server.security import master_keys
from reference_server.security.master_keys import MasterKeys, make_file
from reference_server.settings import Settings
from reference_server.stores import open_database
from reference_server.tls import write_self_signed

needs_cpu_wheel = pytest.mark.skipif(
    CUDA_PROVIDER in ort.get_available_providers(), reason="the GPU wheel is installed"
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MAAS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path):
    """Return what makes settings with a data directory of the test's own and any free port."""
    return lambda **more: Settings(**{"data_dir": tmp_path / "data", "port": 0, **more})


@pytest.fixture
def run(tmp_path):
    """Run the command on such a set-up."""

    def command(*options):
        base = ["doctor", "--data-dir", str(tmp_path / "data"), "--port", "0"]
        return CliRunner().invoke(main, [*base, *options])

    return command


@pytest.fixture
def second_wheel(tmp_path, monkeypatch):
    """Make Python believe that the GPU wheel is installed beside the plain one."""
    info = tmp_path / "onnxruntime_gpu-1.25.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: 1.25.0\n")
    monkeypatch.syspath_prepend(tmp_path)


def the(findings):
    (finding,) = findings
    return finding


@needs_cpu_wheel
def test_a_machine_without_a_gpu_can_serve(run, tmp_path):
    """All is well on the CPU: exit 0, what CUDA lacks is told, and nothing was made."""
    done = run()
    assert done.exit_code == 0, done.output
    assert "a tiny model computes what it should" in done.output
    assert "maas-client[server-gpu]" in done.output
    assert "models run on the CPU (provider is auto)" in done.output
    assert done.output.splitlines()[-1] == "a server with these settings can start"
    assert list(tmp_path.iterdir()) == []


@needs_cpu_wheel
def test_a_demand_for_cuda_that_cannot_be_met_is_exit_code_one(run):
    """The same parts are failures then, each with what to do, also as JSON."""
    done = run("--provider", "cuda", "--json")
    assert done.exit_code == 1
    report = json.loads(done.output)
    assert report["can_start"] is False
    failed = {each["check"]: each for each in report["findings"] if each["state"] == "fail"}
    assert {"CUDA: ONNX Runtime", "CUDA"} <= failed.keys()
    assert all(each["remedy"] for each in failed.values())


def test_a_wrong_setting_is_told_before_anything_else(run):
    """Settings that contradict each other are a mistake in the command."""
    done = run("--host", "192.0.2.1")
    assert done.exit_code == 2
    assert "in clear" in done.output


@pytest.mark.usefixtures("second_wheel")
@pytest.mark.parametrize(("provider", "state"), [("auto", "warn"), ("cuda", "fail")])
def test_two_wheels_side_by_side_are_a_broken_installation(settings, provider, state):
    """Both are named, and what to do."""
    finding = the(doctor.wheels(settings(provider=provider)))
    assert finding.state == state
    assert "onnxruntime-gpu 1.25.0 are installed side by side" in finding.told
    assert "fresh environment" in finding.remedy


@pytest.mark.parametrize(("workers", "state"), [(1, "ok"), (8, "warn")])
def test_more_threads_than_cores_are_told(monkeypatch, settings, workers, state):
    """The numbers that the settings give are shown with the cores."""
    monkeypatch.setattr(settings_module, "usable_cores", lambda: 4)
    monkeypatch.setattr(doctor, "usable_cores", lambda: 4)
    finding = the(doctor.cores(settings(workers=workers)))
    assert finding.state == state
    assert finding.told.endswith(
        f"workers {workers}, lanes {4 if workers == 1 else 1} each, intra-op threads 1 each"
    )


def test_a_budget_beyond_the_memory_is_told(settings):
    """More than the machine has is a warning with a number that would fit."""
    finding = the(doctor.memory(settings(memory_budget_bytes=2**60)))
    if sys.platform == "linux":
        assert finding.state == "warn"
        assert "set memory_budget_bytes to" in finding.remedy
    assert the(doctor.memory(settings(memory_budget_bytes=2**20))).state == "ok"


def test_a_containers_limit_counts(tmp_path):
    """What the control group leaves is what there is; without a limit it says nothing."""
    assert doctor._cgroup_room(tmp_path) is None
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("100\n")
    assert doctor._cgroup_room(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    assert doctor._cgroup_room(tmp_path) == 900


def test_a_data_directory_that_is_a_file_is_a_failure(settings, tmp_path):
    """The start could not make it."""
    (tmp_path / "data").write_text("")
    finding = the(doctor.data_directory(settings()))
    assert (finding.state, finding.told) == ("fail", f"{tmp_path / 'data'} is no folder")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_directory_that_cannot_be_written_is_a_failure(settings, tmp_path):
    """The folder that lacks the right is named."""
    tmp_path.chmod(0o500)
    try:
        finding = the(doctor.data_directory(settings()))
    finally:
        tmp_path.chmod(0o700)
    assert finding.state == "fail"
    assert f"{tmp_path} cannot be written to" in finding.told


def test_a_data_directory_that_nothing_uses_is_not_looked_at(settings):
    """With store and packages elsewhere it does not matter."""
    elsewhere = settings(database_url="postgresql://db/maas", artifacts_url="s3://bucket")
    assert list(doctor.data_directory(elsewhere)) == []


def test_a_store_is_held_against_this_servers_schema(settings, tmp_path):
    """None yet, up to date, behind, ahead, and no database at all; the file stays as it is."""
    made = settings()
    assert "there is none yet" in the(doctor.store(made)).told
    assert not (tmp_path / "data").exists()

    upgrade(made.database)
    assert the(doctor.store(made)).state == "ok"

    file = tmp_path / "data" / "maas.db"
    for revision, state, told in (("0001", "warn", "behind"), ("9999", "fail", "does not know")):
        with sqlite3.connect(file) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.close()
        before = file.read_bytes()
        finding = the(doctor.store(made))
        assert finding.state == state
        assert told in finding.told
        assert finding.remedy
        assert file.read_bytes() == before

    file.write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    assert the(doctor.store(made)).state == "fail"


@pytest.mark.parametrize("url", ["nosuchdatabase://x/y", "sqlite://"])
def test_a_store_that_cannot_be_is_a_failure(settings, url):
    """The reason is told, without a traceback."""
    assert the(doctor.store(settings(database_url=url))).state == "fail"


def test_artifacts_elsewhere_need_their_driver(settings):
    """A protocol that nothing installed speaks is named."""
    finding = the(doctor.artifacts(settings(artifacts_url="nosuchstore://bucket/prefix")))
    assert finding.state == "fail"
    assert "nosuchstore" in finding.told
    assert the(doctor.artifacts(settings(artifacts_url="memory://packages"))).state == "ok"


def test_a_certificate_must_fit_its_key(settings, tmp_path):
    """The right pair is fine, the wrong one a failure, and none is nothing to tell."""
    authority = trustme.CA()
    paths = {}
    for name in ("one", "two"):
        issued = authority.issue_cert("localhost")
        paths[name] = (tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(paths[name][0])
        issued.private_key_pem.write_to_path(paths[name][1])
    assert list(doctor.certificate(settings())) == []
    assert the(doctor.certificate(settings(tls_cert=paths["one"][0], tls_key=paths["one"][1]))).state == "ok"
    wrong = the(doctor.certificate(settings(tls_cert=paths["one"][0], tls_key=paths["two"][1])))
    assert wrong.state == "fail"
    missing = settings(tls_cert=tmp_path / "none.pem", tls_key=tmp_path / "none.key")
    assert the(doctor.certificate(missing)).state == "fail"


def test_a_port_that_is_taken_is_a_failure(settings):
    """Somebody listens there: the server could not."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        finding = the(doctor.address(settings(port=taken.getsockname()[1])))
    assert finding.state == "fail"
    assert "a server runs there already" in finding.remedy
    assert the(doctor.address(settings())).state == "ok"


posix = pytest.mark.skipif(os.name != "posix", reason="rights and limits are POSIX's")


@posix
def test_what_others_can_reach_is_told(settings, tmp_path):
    """Folder and files alike, with the command that mends it; none is fine."""
    made = settings()
    assert list(store_checks.permissions(made)) == []
    upgrade(made.database)
    assert the(store_checks.permissions(made)).state == "ok"
    (tmp_path / "data" / "maas.db").chmod(0o640)
    (tmp_path / "data").chmod(0o711)
    finding = the(store_checks.permissions(made))
    assert finding.state == "warn"
    assert str(tmp_path / "data" / "maas.db") in finding.told
    assert finding.remedy == f"chmod -R go= {tmp_path / 'data'}"


def test_a_damaged_database_is_found(settings, tmp_path):
    """By SQLite's own check; a whole one passes, and so does one that is not there."""
    made = settings()
    assert list(store_checks.integrity(made)) == []
    upgrade(made.database)
    assert the(store_checks.integrity(made)).state == "ok"
    file = tmp_path / "data" / "maas.db"
    whole = file.read_bytes()
    # Every page but the first two: the schema can be read, and what it names cannot.
    file.write_bytes(whole[:8192] + b"\xa5" * (len(whole) - 8192))
    finding = the(store_checks.integrity(made))
    assert finding.state == "fail"
    assert "restore" in finding.remedy


def test_rows_that_refer_to_nothing_are_found(settings, tmp_path):
    """They cannot come about by themselves."""
    made = settings()
    upgrade(made.database)
    with sqlite3.connect(tmp_path / "data" / "maas.db") as connection:
        connection.execute("INSERT INTO upload_chunks (upload_id, offset, artifact) VALUES ('none', 0, 'x')")
    connection.close()
    finding = the(store_checks.integrity(made))
    assert (finding.state, finding.told) == (
        "fail",
        "1 rows of upload_chunks refer to rows that are not there",
    )


def test_packages_that_are_missing_or_cut_are_found(settings, tmp_path):
    """Each by its name; orphans are nobody's and told by nobody."""
    made = settings()
    upgrade(made.database)
    folder = tmp_path / "data" / "artifacts"
    folder.mkdir()
    with sqlite3.connect(tmp_path / "data" / "maas.db") as connection:
        columns = [row[1:4] for row in connection.execute("PRAGMA table_info(versions)")]
        for number, name in enumerate(("whole.zip", "cut.zip", "missing.zip"), 1):
            known = {"model_id": "m", "number": number, "artifact": name, "size": 10, "digest": name}
            values = [
                known.get(column, None if not needed else 0 if "INT" in kind.upper() else "{}")
                for column, kind, needed in columns
            ]
            marks = ", ".join("?" * len(values))
            connection.execute(f"INSERT INTO versions VALUES ({marks})", values)  # noqa: S608 - marks alone
    connection.close()
    (folder / "whole.zip").write_bytes(b"0123456789")
    (folder / "cut.zip").write_bytes(b"012345678")
    (folder / "orphan.zip").write_bytes(b"")
    missing, cut = store_checks.stored_artifacts(made)
    assert (missing.state, missing.told) == ("fail", "1 are missing: missing.zip")
    assert (cut.state, cut.told) == ("fail", "1 have not the size that they were stored with: cut.zip")
    shutil.copy(folder / "whole.zip", folder / "cut.zip")
    shutil.copy(folder / "whole.zip", folder / "missing.zip")
    assert the(store_checks.stored_artifacts(made)).state == "ok"


@pytest.mark.parametrize(("age", "state"), [(0, "ok"), (20, "warn"), (31, "fail")])
def test_a_certificate_that_ends_is_told_in_time(settings, tmp_path, age, state):
    """Two weeks before, and after."""
    began = datetime.now(UTC) - timedelta(days=age)
    written = write_self_signed(tmp_path / "tls", ["localhost"], days=30, now=began)
    finding = the(
        store_checks.certificate_expiry(settings(tls_cert=written.certificate, tls_key=written.key))
    )
    assert finding.state == state
    assert f"{written.ends:%Y-%m-%d}" in finding.told
    assert list(store_checks.certificate_expiry(settings())) == []


@posix
def test_too_few_open_files_are_told(settings, monkeypatch):
    """With what raises them."""
    assert the(store_checks.files(settings(max_connections=1))).state == "ok"
    monkeypatch.setattr(open_files, "limit", lambda: 256)
    finding = the(store_checks.files(settings()))
    assert finding.state == "warn"
    assert "LimitNOFILE" in finding.remedy


def sealed(made):
    """Make a store with the key of one account in it."""
    database = open_database(made)
    with database.write() as session:
        session.add(
            AccountRow(
                id="acc_1",
                name="ada",
                email="a@b.example",
                password_hash="-",
                role="user",
                policy_version="1",
                disabled=False,
                created_at=datetime.now(UTC),
            )
        )
        session.flush()
        data_keys.of_account(session, "acc_1")
    database.dispose()


def test_a_master_key_is_tried_on_every_account(settings, tmp_path):
    """None yet, the right one, another's, none any more, one that others can read, a changed key."""
    made = settings()
    assert "the start makes one" in the(doctor.master_key(made)).told
    sealed(made)
    fine = the(doctor.master_key(made))
    assert (fine.state, fine.told.endswith("opens every account's key")) == ("ok", True)

    file, other = made.master_keys, tmp_path / "other.key"
    make_file(other)
    wrong = the(doctor.master_key(settings(master_key_file=other)))
    assert (wrong.state, "the store is sealed with mk_" in wrong.told) == ("fail", True)
    assert wrong.remedy == "give the key that the store was made with"

    right = file.read_bytes()
    file.chmod(0o644)
    assert "chmod 600" in the(doctor.master_key(made)).told
    file.unlink()
    assert "there is no master key" in the(doctor.master_key(made)).told

    file.write_bytes(right)
    file.chmod(0o600)
    with sqlite3.connect(tmp_path / "data" / "maas.db") as connection:
        connection.execute("UPDATE account_keys SET wrapped = zeroblob(60)")
    connection.close()
    broken = the(doctor.master_key(made))
    assert (broken.state, broken.told) == ("fail", "the keys of 1 accounts do not open: acc_1")


def test_an_unfinished_rotation_is_told(settings):
    """With the command that finishes it."""
    made = settings()
    sealed(made)
    given = master_keys.read_file(made.master_keys)
    master_keys.write_file(made.master_keys, MasterKeys({**master_keys.new().keys, **given.keys}))
    finding = the(doctor.master_key(made))
    assert (finding.state, finding.remedy) == ("warn", "run: maas-server keys rotate")


def test_what_stands_in_clear_is_an_older_servers_or_a_fault(settings, tmp_path):
    """An upgrade goes on by itself; in a store in which all was sealed somebody put it there."""
    made = settings()
    assert list(doctor.in_clear(made)) == []
    sealed(made)
    assert the(doctor.in_clear(made)).state == "ok"
    with sqlite3.connect(tmp_path / "data" / "maas.db") as connection:
        connection.execute(
            "INSERT INTO uploads (id, account_id, sha256, size, received, created_at, expires_at) "
            "VALUES ('upl_1', 'acc_1', 'x', 1, 1, '2030-01-01 00:00:00', '2030-01-01 00:00:00')"
        )
    connection.close()
    waiting = the(doctor.in_clear(made))
    assert (waiting.state, "1 uploads" in waiting.told) == ("warn", True)
    with sqlite3.connect(tmp_path / "data" / "maas.db") as connection:
        connection.execute("DELETE FROM store_keys WHERE name = 'in clear'")
    connection.close()
    planted = the(doctor.in_clear(made))
    assert (planted.state, "though all was sealed before" in planted.told) == ("fail", True)
