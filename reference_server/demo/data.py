"""The demo's data: human-rated sentences from a source distribution on the package index, or our own few.

The sdist of vaderSentiment 3.3.2 (MIT) carries the ratings that were collected for C. J. Hutto and
E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text", ICWSM 2014:
tweets and sentences from film reviews, product reviews and editorials, each with the mean of twenty people's
ratings from −4 to 4.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from reference_server import downloads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SDIST = downloads.Distribution(
    requirement="vaderSentiment==3.3.2",
    file="vaderSentiment-3.3.2.tar.gz",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    size=2_466_783,
    options=downloads.SDIST,
)
_INNER = "additional_resources/hutto_ICWSM_2014.tar.gz"
_SUFFIX = "_GroundTruth.txt"
_MAX_MEMBER_BYTES = 8 * 2**20
# Ratings this close to zero are neither positive nor negative.
_NEUTRAL = 0.5

NEGATIVE, POSITIVE = 0, 1


class DataError(Exception):
    """The data are not what they should be; the message says how."""


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


def sentences(*, log: Callable[[str], None]) -> Sentences:
    """Return the rated sentences, downloading them the first time; without a network, our own few."""
    try:
        archive = _fetch(log)
    except downloads.DownloadError as error:
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


def _fetch(log: Callable[[str], None]) -> bytes:
    if downloads.cached(SDIST) is None:
        log(f"Fetching {SDIST.requirement} (source distribution, 2.5 MB, MIT) ...")
    return downloads.fetch(SDIST).read_bytes()


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
