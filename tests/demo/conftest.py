"""A demo without a network: an empty cache, an index of nothing, and archives made here."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import tarfile
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest

from reference_server import downloads
from reference_server.demo import data, recipes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

ROOT = "vaderSentiment-3.3.2"
NOUNS = ("film", "book", "lamp", "soup", "room", "coat", "song", "trip", "chair", "phone")
ADJECTIVES = {"good": 1, "great": 1, "lovely": 1, "bright": 1, "bad": -1, "awful": -1, "dull": -1, "sad": -1}
# So that pip can read the name and version of the sdist without fetching a build system.
_BUILD_SYSTEM = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
_METADATA = "Metadata-Version: 2.1\nName: vaderSentiment\nVersion: 3.3.2\n"
_BACKEND = f"""\
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = Path(folder, "vaderSentiment-3.3.2.dist-info")
    info.mkdir()
    (info / "METADATA").write_text({_METADATA!r})
    return info.name
"""


def packed(members: Iterable[tuple[str, bytes] | tarfile.TarInfo]) -> bytes:
    """Return a .tar.gz of plain files, given by name and content, and of members of any other kind."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, content = member
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(target.getvalue(), mtime=0)


def make_sdist(lines: Iterable[str]) -> bytes:
    """Return a source distribution laid out like the real one, with these lines of `id, rating, text`."""
    ratings = "".join(f"{line}\r\n" for line in lines).encode()
    inner = packed(
        [
            ("hutto_ICWSM_2014/tweets_GroundTruth.txt", ratings),
            ("hutto_ICWSM_2014/tweets_anonDataRatings.txt", b"not\tread\tat all"),
        ]
    )
    return packed(
        [
            (f"{ROOT}/PKG-INFO", _METADATA.encode()),
            (f"{ROOT}/pyproject.toml", _BUILD_SYSTEM.encode()),
            (f"{ROOT}/backend.py", _BACKEND.encode()),
            (f"{ROOT}/additional_resources/hutto_ICWSM_2014.tar.gz", inner),
        ]
    )


def negations() -> list[str]:
    """Return rated lines whose sense turns on `not`: pairs of words tell it, single words cannot."""
    lines = []
    for noun, (adjective, sense), negated in product(NOUNS, ADJECTIVES.items(), (False, True)):
        words = f"the {noun} was {'not ' if negated else ''}{adjective}"
        lines.append(f"{len(lines)}\t{-2.0 * sense if negated else 2.0 * sense}\t{words}")
    return lines


@pytest.fixture(autouse=True)
def cache(offline_cache: Path) -> Path:
    """Return the cache folder of every test here, none of which has a network."""
    return offline_cache


@pytest.fixture
def pin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], bytes]:
    """Return a function that makes an archive the expected one."""

    def expect(archive: bytes) -> bytes:
        pinned = dataclasses.replace(data.SDIST, sha256=hashlib.sha256(archive).hexdigest())
        monkeypatch.setattr(data, "SDIST", pinned)
        return archive

    return expect


@pytest.fixture
def cached_negations(cache: Path, pin: Callable[[bytes], bytes]) -> bytes:
    """Put the expected archive, of `negations`, into the cache, as after a download."""
    archive = pin(make_sdist(negations()))
    downloads.write_atomically(cache / "downloads" / "vaderSentiment-3.3.2.tar.gz", archive)
    return archive


@pytest.fixture(name="packed")
def packer() -> Callable[..., bytes]:
    """Return `packed`."""
    return packed


@pytest.fixture(name="make_sdist")
def sdist_maker() -> Callable[..., bytes]:
    """Return `make_sdist`."""
    return make_sdist


@pytest.fixture
def said() -> list[str]:
    """Return a list; its `append` is a log."""
    return []


@pytest.fixture(scope="session")
def own() -> data.Sentences:
    """Return this repository's own sentences."""
    return data.own_sentences()


@pytest.fixture(scope="session")
def built(own: data.Sentences) -> list[recipes.Built]:
    """Return both recipes, trained on our own sentences and packed."""
    return list(recipes.build_all(own, log=lambda line: None))


@pytest.fixture(scope="session", params=recipes.RECIPES, ids=lambda recipe: recipe.file)
def trained(request: pytest.FixtureRequest, own: data.Sentences) -> recipes.TrainedClassifier:
    """Return each recipe's classifier, trained on our own sentences."""
    return recipes.train(request.param, own, recipes.split(own)[0])


@pytest.fixture(scope="session")
def load() -> Callable[[bytes], Callable[[list[str]], np.ndarray]]:
    """Return a function from a graph to a function from texts to its probabilities."""

    def session(graph: bytes) -> Callable[[list[str]], np.ndarray]:
        loaded = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        return lambda texts: loaded.run(["probabilities"], {"text": np.array(texts, dtype=object)})[0]

    return session
