import importlib.util
from pathlib import Path

import pytest

FOUND = {"id": "PYSEC-1", "fix_versions": ["2.0"]}


@pytest.fixture(scope="module")
def audit():
    """The script `tools/audit.py`, as a module."""
    path = Path(__file__).parents[1] / "tools" / "audit.py"
    spec = importlib.util.spec_from_file_location("audit", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_vulnerable_package_fails_the_check(audit, capsys):
    """It is named, with the version that mends it."""
    packages = [{"name": "a", "version": "1.0", "vulns": [FOUND]}, {"name": "b", "skip_reason": "unknown"}]
    assert audit.judge(packages) == 1
    assert "a 1.0: PYSEC-1, mended in 2.0" in capsys.readouterr().err


@pytest.mark.parametrize("packages", [[], [{"name": "a", "skip_reason": "unknown"}]])
def test_an_index_that_tells_nothing_is_not_taken_for_good_news(audit, packages, capsys):
    """That nothing was found is not said where nothing was looked at."""
    assert audit.judge(packages) == 0
    said = capsys.readouterr().err
    assert said.startswith("NOT AUDITED")
    assert "no known vulnerability" not in said


def test_what_was_not_looked_at_is_named_beside_what_was(audit, capsys):
    """One package that the index does not know hides behind no other."""
    packages = [{"name": "a", "version": "1.0", "vulns": []}, {"name": "own", "skip_reason": "unknown"}]
    assert audit.judge(packages) == 0
    said = capsys.readouterr().err
    assert "NOT AUDITED, as the index tells nothing of them: own" in said
    assert "1 packages have no known vulnerability" in said


def test_a_pip_audit_that_fails_is_not_taken_for_good_news(audit, monkeypatch, capsys):
    """Its own words are told."""
    monkeypatch.setattr(audit, "_COMMAND", ["-c", "import sys; sys.exit('no route to the index')"])
    assert audit.main() == 0
    assert "NOT AUDITED: no route to the index" in capsys.readouterr().err
