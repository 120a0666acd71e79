"""Pictures with some of their regions left out, the picture's mean colour standing there.

Regions are the cells of a grid over what the model sees of the picture: they are cut from the tensor, after
the picture was scaled, so that a masked picture costs no decoding. Superpixels would follow outlines, and
need a library of their own; a grid is what anybody can check.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from reference_server.explain.features import Feature
from reference_server.runtime.tasks import Batch
from reference_server.runtime.tasks.image_inputs import IMAGE

if TYPE_CHECKING:
    from maas_client.types import ImagePreprocessing
    from reference_server.explain.game import Booleans
    from reference_server.runtime.runner import Tensor

# Left, top, right and bottom; the last two exclusive.
Box: TypeAlias = tuple[float, float, float, float]

_CELLS = 7
_FEW_CELLS = 4
# Less of a side is not worth seven cells: two pixels make the least region.
_LEAST_SIDE = 2 * _CELLS


class MaskedPicture:
    """A picture whose regions can be left out.

    Args:
        tensor: What the model takes, without the axis of the batch.
        options: How the picture became that.
        sent: Width and height of the picture as it was sent, turned upright.
    """

    unit = "regions"
    masking = "mean-color"
    weights = np.ones(1)
    notes: tuple[str, ...] = ()

    def __init__(self, tensor: Tensor, options: ImagePreprocessing, sent: tuple[int, int]) -> None:
        seen, source = placed(options, sent)
        columns, rows = _edges(seen[0], seen[2]), _edges(seen[1], seen[3])
        self._tensor = tensor
        self._layout = options.layout
        # Where no region is, outside of the picture, what is there stays.
        self._regions = np.full((options.height, options.width), -1)
        self.features: list[Feature] = []
        for row, column in product(range(len(rows) - 1), range(len(columns) - 1)):
            cell = (columns[column], rows[row], columns[column + 1], rows[row + 1])
            self._regions[cell[1] : cell[3], cell[0] : cell[2]] = len(self.features)
            box = _moved(cell, seen, source)
            self.features.append(Feature(f"row {row + 1}, column {column + 1}", IMAGE, box=box))
        inside = self._spread(self._regions >= 0)
        axes = {"NCHW": (1, 2), "NHWC": (0, 1), "NHW": (0, 1)}[options.layout]
        inside = np.broadcast_to(inside, tensor.shape)
        self._mean = tensor.mean(axis=axes, keepdims=True, where=inside, dtype=np.float64).astype(
            tensor.dtype
        )

    def masked(self, coalitions: Booleans) -> Batch:
        """Return the picture without the regions that are away; see `Maskable.masked`."""
        return Batch({IMAGE: [self._picture(row) for row in coalitions]}, {})

    def _picture(self, present: Booleans) -> Tensor:
        # The last entry, which −1 means, is for what is in no region.
        shown = np.append(present, np.True_)[self._regions]
        picture: Tensor = np.where(self._spread(shown), self._tensor, self._mean)
        return picture

    def _spread(self, pixels: Booleans) -> Booleans:
        """Return `[height, width]` with the axis of the colours where the tensor has it."""
        if self._layout == "NHW":
            return pixels
        return pixels[None] if self._layout == "NCHW" else pixels[:, :, None]


def placed(options: ImagePreprocessing, sent: tuple[int, int]) -> tuple[Box, Box]:
    """Return where the picture lies in what the model sees, and which part of the picture shows there.

    Args:
        options: The size of the one, and how the other was made to fit.
        sent: Width and height of the other.
    """
    width, height = options.width, options.height
    whole = (0.0, 0.0, float(width), float(height))
    if options.fit == "stretch" or sent == (width, height):
        return whole, (0.0, 0.0, float(sent[0]), float(sent[1]))
    across, down = width / sent[0], height / sent[1]
    if options.fit == "crop":
        scale = max(across, down)
        left, top = (sent[0] - width / scale) / 2, (sent[1] - height / scale) / 2
        return whole, (left, top, sent[0] - left, sent[1] - top)
    scale = min(across, down)
    shown = max(1, round(sent[0] * scale)), max(1, round(sent[1] * scale))
    left, top = round((width - shown[0]) / 2), round((height - shown[1]) / 2)
    return (left, top, left + shown[0], top + shown[1]), (0.0, 0.0, float(sent[0]), float(sent[1]))


def _edges(first: float, last: float) -> list[int]:
    side = int(last) - int(first)
    cells = min(side, _CELLS if side >= _LEAST_SIDE else _FEW_CELLS)
    return [int(first) + round(index * side / cells) for index in range(cells + 1)]


def _moved(cell: tuple[int, int, int, int], seen: Box, source: Box) -> tuple[int, int, int, int]:
    """Return a cell of what the model sees as a box in the picture as it was sent."""
    across = (source[2] - source[0]) / (seen[2] - seen[0])
    down = (source[3] - source[1]) / (seen[3] - seen[1])
    left, right = (source[0] + (x - seen[0]) * across for x in (cell[0], cell[2]))
    top, bottom = (source[1] + (y - seen[1]) * down for y in (cell[1], cell[3]))
    return round(left), round(top), round(right), round(bottom)
