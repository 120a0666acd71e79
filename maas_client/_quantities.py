"""Quantities as people read them: a few digits and a unit."""

from __future__ import annotations

_THOUSAND = 1000


def in_milliseconds(value: float | None) -> str | None:
    """Return milliseconds with three digits: `0.214 ms`, `31.8 ms`, `1,240 ms`."""
    if value is None:
        return None
    return f"{value:,.0f} ms" if value >= _THOUSAND else f"{value:.3g} ms"


def in_bytes(value: int | None) -> str | None:
    """Return bytes with three digits, in powers of 1000: `512 B`, `1.27 MB`."""
    if value is None:
        return None
    shown = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if shown < _THOUSAND or unit == "GB":
            break
        shown /= _THOUSAND
    return f"{shown:.0f} {unit}" if unit == "B" else f"{shown:.3g} {unit}"
