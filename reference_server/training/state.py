"""What a fine-tune goes on from after its process has died: embeddings, which take long, and the fit."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(slots=True)
class State:
    """A checkpoint.

    Args:
        embeddings: Of the rows so far, `[rows, dimensions]` float32 in parts; none without a base.
        fit: What `Fit.packed` returned; empty before the first epoch.
    """

    embeddings: list[NDArray[np.float32]] = field(default_factory=list)
    fit: bytes = b""

    @property
    def rows(self) -> int:
        """How many rows have an embedding."""
        return sum(map(len, self.embeddings))

    def packed(self) -> bytes:
        """Return it as bytes (NPY format 1.0, zipped)."""
        file = io.BytesIO()
        embeddings = np.concatenate(self.embeddings) if self.embeddings else np.empty((0, 0), np.float32)
        np.savez(file, embeddings=embeddings, fit=np.frombuffer(self.fit, np.uint8))
        return file.getvalue()

    @classmethod
    def unpacked(cls, content: bytes | None) -> State:
        """Return what `packed` wrote; a new state for none."""
        if content is None:
            return cls()
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            embeddings = arrays["embeddings"]
            return cls([embeddings] if len(embeddings) else [], arrays["fit"].tobytes())
