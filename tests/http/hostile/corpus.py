"""Packages that wish a server ill: made here, each time anew, and never kept.

`python tests/http/hostile/corpus.py FOLDER` writes every one of them, to look at or to send by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hostile_graphs import graphs
from hostile_manifests import manifests
from hostile_tokenizers import tokenizers
from hostile_zips import zips

if TYPE_CHECKING:
    from forging import Hostile


def corpus() -> dict[str, Hostile]:
    """Return every package by a name that says what is wrong with it."""
    return zips() | manifests() | graphs() | tokenizers()


def main() -> None:
    """Write them all."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, each) in enumerate(corpus().items()):
        (folder / f"{number:03}.zip").write_bytes(each.content)
        sys.stdout.write(f"{number:03}.zip  {len(each.content):>11,}  {name}\n")


if __name__ == "__main__":
    main()
