"""What a trial of a package may take: seconds and memory, and how a process takes these limits on."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

MAX_LOG_BYTES = 2**16
# A signature of a thousand tensors and ten thousand columns has its place in it.
MAX_ANSWER_BYTES = 2**24


@dataclass(frozen=True, slots=True)
class Limits:
    """What a trial may take: seconds on the wall clock and of processor time, bytes of address space."""

    seconds: float
    memory_bytes: int

    @property
    def whole_seconds(self) -> int:
        """The seconds as the kernel takes them, rounded up."""
        return math.ceil(self.seconds)

    def impose(self) -> None:
        """Bind this process, and what it starts, to them; Windows has none and macOS limits no memory."""
        if sys.platform == "win32":
            return
        import resource

        limits = {
            resource.RLIMIT_CPU: self.whole_seconds,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_FSIZE: MAX_LOG_BYTES,
        }
        if sys.platform != "darwin":  # whose kernel refuses to limit address space
            limits[resource.RLIMIT_AS] = self.memory_bytes
        for kind, limit in limits.items():
            _, most = resource.getrlimit(kind)
            bound = limit if most == resource.RLIM_INFINITY else min(limit, most)
            resource.setrlimit(kind, (bound, bound))
