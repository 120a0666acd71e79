"""Small stand-ins for the pinned wheels, made here, and a pip that has no other index."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import shutil
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from argon2.profiles import CHEAPEST
from click.testing import CliRunner

from reference_server import cli
from reference_server.catalogue import scikit_data, sources, table
from reference_server.registry.folders import make_folder
from reference_server.security import passwords
from reference_server.security.passwords import Passwords

if TYPE_CHECKING:
    from pathlib import Path

DATA = "sklearn/datasets/data"


def small_iris() -> bytes:
    """Return 60 flowers of three kinds that a line parts, as scikit-learn's file has them."""
    random = np.random.default_rng(0)
    lines = ["60,4,a,b,c"]
    for row in range(60):
        lengths = random.normal(scale=0.1, size=4) + 1 + row % 3 * np.array([1.0, 2.0, 0.5, 1.0])
        lines.append(",".join([*(f"{length:.2f}" for length in lengths), str(row % 3)]))
    return "\n".join(lines).encode()


@pytest.fixture(autouse=True)
def cache(offline_cache: Path) -> Path:
    """Return the cache folder of every test here, none of which has a network."""
    return offline_cache


@pytest.fixture
def scikit_files() -> dict[str, bytes]:
    """Return small data files where scikit-learn's wheel has its own."""
    random = np.random.default_rng(1)
    figures = random.normal(10, 3, size=(50, 10)).round(2)
    target = (figures @ np.arange(10) + 5).round(2)
    digits = random.integers(0, 17, size=(40, 65))
    digits[:, -1] = np.arange(40) % 10
    return {
        f"{DATA}/iris.csv": small_iris(),
        f"{DATA}/digits.csv.gz": gzip.compress("\n".join(",".join(map(str, row)) for row in digits).encode()),
        f"{DATA}/diabetes_data_raw.csv.gz": gzip.compress(
            "\n".join(" ".join(map(str, row)) for row in figures).encode()
        ),
        f"{DATA}/diabetes_target.csv.gz": gzip.compress("\n".join(map(str, target)).encode()),
    }


@pytest.fixture
def scikit_wheel(make_wheel, scikit_files) -> bytes:
    """Return those files as a wheel."""
    return make_wheel("scikit_learn", "1.7.2", scikit_files)


@pytest.fixture
def small_scikit_learn(monkeypatch, scikit_wheel) -> sources.Distribution:
    """Pin that wheel in the place of the real one; no index has it yet."""
    real = sources.SCIKIT_LEARN
    pinned = dataclasses.replace(
        real, sha256=hashlib.sha256(scikit_wheel).hexdigest(), size=len(scikit_wheel)
    )
    monkeypatch.setattr(scikit_data, "SCIKIT_LEARN", pinned)
    entries = tuple(
        dataclasses.replace(entry, sources=(pinned,)) if entry.sources == (real,) else entry
        for entry in table.ENTRIES
    )
    monkeypatch.setattr(table, "ENTRIES", entries)
    return pinned


@dataclass(frozen=True)
class Machine:
    """The server's own machine: `maas-server` with a store of the test's own."""

    data_dir: Path

    def run(self, *command, code=0):
        """Run a command; return what it said, both streams together."""
        result = CliRunner().invoke(cli.main, [*command, "--data-dir", str(self.data_dir)])
        assert result.exit_code == code, result.output
        return result.output


@pytest.fixture
def machine(tmp_path, monkeypatch, empty_database) -> Machine:
    """Return a machine whose store has no account, and whose hashes of passwords are cheap ones."""
    monkeypatch.setattr(passwords, "Passwords", partial(Passwords, cost=CHEAPEST))
    make_folder(tmp_path / "store")
    shutil.copy(empty_database, tmp_path / "store" / "maas.db")
    return Machine(tmp_path / "store")
