"""How much memory this process holds, as Linux tells it (proc(5): `VmRSS` and `VmHWM`)."""

from __future__ import annotations

from pathlib import Path

from reference_server.runtime.memory import give_back_memory

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
# Sets the high-water mark to what is held now.
_RESET_PEAK = "5"


def settled() -> int | None:
    """Return the bytes that are held once what is free has gone back; None where the system does not tell."""
    give_back_memory()
    return _read("VmRSS")


def begin_peak() -> bool:
    """Let `peak` tell of what comes from now on; return whether the system can."""
    try:
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def peak(*, begun: bool) -> int | None:
    """Return the most bytes that were held since `begin_peak`, or what is held now where that could not."""
    return _read("VmHWM" if begun else "VmRSS")


def _read(name: str) -> int | None:
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None
