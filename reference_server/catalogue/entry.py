"""What the list says of a model, and how its package is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reference_server.catalogue.sources import Wheels
    from reference_server.downloads import Distribution


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that can be added.

    Args:
        name: In the list, and the published model's unless another is asked for.
        task: The task it serves.
        licence: Of the model, and of the data that it was trained on.
        description: One sentence for people.
        sources: What has to be downloaded.
        build: Makes the package's files, by name, from this entry and the downloads; the same every time.
    """

    name: str
    task: str
    licence: str
    description: str
    sources: tuple[Distribution, ...]
    build: Callable[[Entry, Wheels], Mapping[str, bytes]]

    @property
    def download_bytes(self) -> int:
        """What has to be downloaded, in bytes, when the cache has nothing of it."""
        return sum(source.size for source in self.sources)
