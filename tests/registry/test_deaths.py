import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each death is a fork's")

SCRIPT = Path(__file__).with_name("die_at_each_step.py")
KILLED = 9
# Why the same change is refused after a death that came when it was done; None where it is done again.
REFUSED = {
    "publish": {None},
    "make an alias": {None},
    "move": {None},
    "rollback": {None, "revision_mismatch"},
    "rollback under a key": {None},
    "add a chunk": {None},
    "publish an upload": {None, "upload_not_found"},
    "give an upload up": {None, "upload_not_found"},
    "show": {None},
    "delete a version": {None, "version_not_found"},
    "delete a model": {None, "model_not_found"},
}
DELETES = {"delete a version", "delete a model"}


@pytest.fixture(
    scope="module", params=[pytest.param(1, marks=pytest.mark.long), 3], ids=["each step", "each third step"]
)
def deaths(tmp_path_factory, request):
    """Return what each death at those steps of each change has left, the first and the last among them."""
    folder = tmp_path_factory.mktemp("deaths")
    command = [sys.executable, str(SCRIPT), str(folder), str(request.param)]
    done = subprocess.run(command, capture_output=True, timeout=110, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return json.loads(done.stdout)


@pytest.fixture(params=REFUSED)
def change(request, deaths):
    """Return how one change goes, and its name."""
    if request.param not in deaths:
        pytest.skip("this server does not delete")
    found = deaths[request.param]
    assert found["status"] == 0
    return request.param, found


def test_every_change_is_tried(deaths):
    """Whoever adds a change to the script says here what its repeat may be told."""
    assert set(REFUSED) - set(deaths) in (set(), DELETES)
    assert set(deaths) <= set(REFUSED)


def test_a_death_leaves_a_whole_change_or_none(change):
    """At each statement and at each file there is what the last commit made, and the database is sound."""
    _, found = change
    assert len(found["deaths"]) >= 3
    for death in found["deaths"]:
        assert death["status"] == KILLED, death["step"]
        assert death["left"] == found["states"][death["commits"]], death["step"]
        assert death["left"]["integrity"] == [["ok"]]
        assert death["left"]["references"] == []


def test_after_a_death_the_change_is_made_once(change):
    """The same change again is made or recognised; nothing is there twice, and orphans are swept."""
    name, found = change
    for death in found["deaths"]:
        assert death["repeat"]["error"] in REFUSED[name], death["step"]
        assert death["after"] == found["states"][-1], death["step"]
        assert death["repeat"]["left"] == death["referenced"], death["step"]


def test_some_deaths_leave_orphans(deaths):
    """What the sweeping is for happens: without a death there would be nothing to sweep."""
    swept = {
        name: sum(len(death["repeat"]["swept"]) for death in found["deaths"])
        for name, found in deaths.items()
    }
    assert swept["add a chunk"] > 0
    assert swept["give an upload up"] > 0
