"""Pictures on their way into a graph: decoded within limits, or given as pixels; then resized and scaled.

A file of a few kilobytes can declare billions of pixels, so its size is read before its pixels are.
"""

from __future__ import annotations

import base64
import binascii
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from reference_server.runtime.tasks.faults import json_type
from reference_server.runtime.tasks.instances import InputFault

if TYPE_CHECKING:
    from maas_client.types import ImagePreprocessing
    from reference_server.runtime.runner import Tensor

IMAGE = "image"
MEDIA_TYPES = ("image/png", "image/jpeg")

# Pillow only warns of what it finds large; the check below refuses, earlier and by the header alone.
Image.MAX_IMAGE_PIXELS = None

# 24 million pixels are a good camera's; in RGB they take 72 MB.
_MOST_PIXELS = 24_000_000
_FORMATS = ("PNG", "JPEG")
_PIXEL_MAX = 255
_AXES_WITH_COLOUR = 3


class ImageReader:
    """Turns what a caller gave into what the graph takes: one picture without the batch axis.

    Args:
        options: The manifest's.
        kind: The float type of the graph's input.
    """

    def __init__(self, options: ImagePreprocessing, kind: type[np.generic]) -> None:
        self.options = options
        self._kind = kind
        self._mean = np.array(options.mean, np.float32)
        self._std = np.array(options.std, np.float32)

    def __call__(self, value: Any) -> Tensor:  # noqa: ANN401 - any JSON value, or a file's bytes
        """Return the picture's tensor.

        Raises:
            InputFault: It is no picture that is taken here.
        """
        return self._tensor(self._resized(_picture(value)))

    def size(self, value: Any) -> tuple[int, int]:  # noqa: ANN401 - as above
        """Return the width and the height of a picture as it was sent, turned upright, in pixels.

        Raises:
            InputFault: As above.
        """
        return _picture(value).size

    def _resized(self, picture: Image.Image) -> Image.Image:
        mode = "L" if self.options.mode == "L" else "RGB"
        picture = picture.convert(mode)
        size = (self.options.width, self.options.height)
        if picture.size == size:
            return picture
        if self.options.fit == "crop":
            return ImageOps.fit(picture, size, Image.Resampling.BILINEAR)
        if self.options.fit == "pad":
            return ImageOps.pad(picture, size, Image.Resampling.BILINEAR)
        return picture.resize(size, Image.Resampling.BILINEAR)

    def _tensor(self, picture: Image.Image) -> Tensor:
        pixels = np.asarray(picture, np.float32)
        if self.options.mode == "BGR":
            pixels = pixels[:, :, ::-1]
        scaled = (pixels * np.float32(self.options.scale) - self._mean) / self._std
        if self.options.layout != "NHW" and scaled.ndim < _AXES_WITH_COLOUR:
            scaled = scaled[:, :, None]
        if self.options.layout == "NCHW":
            scaled = scaled.transpose(2, 0, 1)
        return np.ascontiguousarray(scaled, self._kind)


def _picture(value: Any) -> Image.Image:  # noqa: ANN401 - any JSON value, or a file's bytes
    return _from_pixels(value) if isinstance(value, list) else _from_file(_content(value))


def _content(value: object) -> bytes | bytearray:
    if isinstance(value, bytes | bytearray):
        return value
    if not isinstance(value, str):
        raise InputFault(
            "wrong_type",
            f"a PNG or JPEG in base64 or a list of rows of pixels is expected, not {json_type(value)}",
        )
    if value.startswith("data:"):
        value = value.partition(",")[2]
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputFault("invalid_image", f"the string is no base64: {error}") from error


def _from_file(content: bytes | bytearray) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
            width, height = picture.size
            if width * height > _MOST_PIXELS:
                raise InputFault(
                    "image_too_large",
                    f"the image has {width} by {height} pixels, at most {_MOST_PIXELS:,} are taken; "
                    "scale it down",
                )
            # As it was meant to be seen: cameras note how they were held.
            return ImageOps.exif_transpose(picture)
    except UnidentifiedImageError as error:
        raise InputFault("invalid_image", "the bytes are neither a PNG nor a JPEG") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, MemoryError) as error:
        raise InputFault("invalid_image", f"the image is damaged: {error}") from error


def _from_pixels(rows: list[Any]) -> Image.Image:
    try:
        pixels = np.array(rows)
    except ValueError as error:
        raise InputFault("wrong_shape", f"the rows of pixels are not all alike: {error}") from error
    grey = pixels.ndim == _AXES_WITH_COLOUR - 1
    coloured = pixels.ndim == _AXES_WITH_COLOUR and pixels.shape[2] in (1, 3)
    if not (grey or coloured) or pixels.dtype.kind not in "iuf" or pixels.size == 0:
        raise InputFault(
            "wrong_shape",
            "pixels are expected as [height, width] or [height, width, 3] numbers from 0 to 255, "
            f"not {(pixels.dtype.kind in 'iuf' and list(pixels.shape)) or 'something else'}",
        )
    if pixels.min() < 0 or pixels.max() > _PIXEL_MAX:
        raise InputFault(
            "out_of_range", f"pixels range from 0 to 255, these from {pixels.min()} to {pixels.max()}"
        )
    bytes_ = np.rint(pixels).astype(np.uint8)
    return Image.fromarray(bytes_[:, :, 0] if coloured and pixels.shape[2] == 1 else bytes_)
