import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from maas_client._package import open_package
from reference_server.errors import NotFound
from reference_server.registry import aliases, models, publishing, versions

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each death is a fork's")

SCRIPT = Path(__file__).with_name("publish_and_die.py")
KILLED = 9
# What lies in the store's folder after a death at each step, and whether the version is there.
UNFINISHED, ORPHAN, VERSION = "an unfinished upload", "an orphan", "a version"
STEPS = {
    "file not synced": UNFINISHED,
    "not renamed": UNFINISHED,
    "folder not synced": ORPHAN,
    "no model row": ORPHAN,
    "no version row": ORPHAN,
    "no alias": ORPHAN,
    "no history": ORPHAN,
    "no commit": ORPHAN,
    "committed": VERSION,
    "answered": VERSION,
}
AGAIN = "no commit, and not swept"


@pytest.fixture(scope="module")
def deaths(open_registry, tmp_path_factory, package):
    """Return a registry for each step, after a process has died there, and one that is not swept."""
    registries = {}
    for step in [*STEPS, AGAIN]:
        registries[step] = open_registry(tmp_path_factory.mktemp("crash"))
        registries[step].ada = registries[step].account("ada")
    places = [
        word
        for step, made in registries.items()
        for word in (made.url, str(made.folder), "no commit" if step == AGAIN else step)
    ]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *places], input=package(), capture_output=True, timeout=110, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout) == [0 if step == "answered" else KILLED for step in registries]
    yield registries
    for registry in registries.values():
        registry.db.dispose()


@pytest.mark.parametrize(("step", "left"), STEPS.items(), ids=STEPS)
def test_a_death_leaves_a_whole_version_or_an_orphan(deaths, package, step, left):
    """Whenever the server dies, there is the whole version or none; what lies around is swept in time."""
    registry = deaths[step]
    (file,) = registry.folder.iterdir()
    assert file.name.startswith(".uploading-") == (left == UNFINISHED)
    if left == VERSION:
        assert_whole(registry, versions.get(registry.db, registry.ada, "words", "default"))
    else:
        assert_nothing(registry)
    assert publishing.sweep(registry.db, registry.store) == []  # it might be under way
    long_ago = file.stat().st_mtime - 7200
    os.utime(file, (long_ago, long_ago))
    assert publishing.sweep(registry.db, registry.store) == ([] if left == VERSION else [file.name])
    assert registry.artifacts == ([file.name] if left == VERSION else [])

    version, new = registry.publish(registry.ada, "words", package())
    assert new == (left != VERSION)
    assert_whole(registry, version)


def assert_nothing(registry):
    with pytest.raises(NotFound):
        models.get(registry.db, registry.ada, "words")


def assert_whole(registry, version):
    assert (version.version, version.aliases) == (1, ["default", "latest"])
    assert aliases.get(registry.db, registry.ada, "words", "default").revision == 1
    target = versions.serving_target(registry.db, registry.ada, "words", None)
    with registry.open_package_of(target) as file, open_package(file) as stored:
        assert stored.digest == target.digest == version.digest


def test_an_upload_goes_on_where_a_dead_one_stopped(deaths, package):
    """An orphan is in nobody's way, and nobody has its key: the same package is published beside it."""
    registry = deaths[AGAIN]
    (orphan,) = registry.artifacts
    version, new = registry.publish(registry.ada, "words", package())
    assert new
    assert orphan in registry.artifacts
    assert len(registry.artifacts) == 2
    assert_whole(registry, version)
