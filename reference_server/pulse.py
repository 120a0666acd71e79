"""Signs of life: a process counts in memory that it shares with its supervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableSequence
    from multiprocessing.context import BaseContext

# A supervisor that was itself away for longer (a laptop's lid, a paused container) must not blame others.
_MOST_AT_A_LOOK = 1.0


class Pulse:
    """What a process says of itself; one writes, one reads.

    Args:
        context: How the process is started.
    """

    def __init__(self, context: BaseContext) -> None:
        # No lock: a process that was killed in the middle would hold it for ever.
        self._said: MutableSequence[int] = context.RawArray("Q", 2)

    def beat(self, *, is_stuck: bool = False) -> None:
        """Say that this process goes on.

        Args:
            is_stuck: Whether a part of it does not: it should be replaced once it has answered what it can.
        """
        self._said[1] = int(is_stuck)
        self._said[0] += 1

    @property
    def beats(self) -> int:
        """How often it has said so; 0 while it starts."""
        return self._said[0]

    @property
    def is_stuck(self) -> bool:
        """Whether a part of it does not go on."""
        return bool(self._said[1])


class Silence:
    """How long a process has said nothing, as whoever looks at it again and again has seen."""

    def __init__(self) -> None:
        self._beats = 0
        self.seconds = 0.0

    def look(self, beats: int, passed: float) -> float:
        """Return for how many seconds it has been silent.

        Args:
            beats: How often it had spoken by now.
            passed: Seconds since the last look.
        """
        if beats != self._beats:
            self._beats, self.seconds = beats, 0.0
        else:
            self.seconds += min(passed, _MOST_AT_A_LOOK)
        return self.seconds
