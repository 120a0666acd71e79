"""A manifest as the text of `maas.toml`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from maas_client._manifest_text import MANIFEST

if TYPE_CHECKING:
    from maas_client.types import Manifest


def manifest_file(manifest: Manifest) -> dict[str, bytes]:
    """Return a package's `maas.toml` by its name; fields that have their default are left out."""
    values = manifest.model_dump(mode="json", exclude_defaults=True, by_alias=True)
    lines = [f"{_key(name)} = {_value(value)}\n" for name, value in {"format": 1, **values}.items()]
    return {MANIFEST: "".join(lines).encode()}


def _value(value: object) -> str:
    if isinstance(value, dict):
        pairs = (f"{_key(name)} = {_value(each)}" for name, each in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    # JSON writes strings, booleans and finite numbers as TOML reads them; but TOML has no surrogate escapes
    # and takes no bare DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if name.isascii() and name.isidentifier() else _value(name)
