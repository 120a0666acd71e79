"""Progress of long work: a bar in terminals and notebooks, or the caller's own function."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from maas_client.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

Progress: TypeAlias = bool | Callable[[int, int | None], None]


class Bar(Protocol):
    """Something that counts what is done."""

    def advance(self, count: int) -> None:
        """Count more as done; less, below 0, when something must be done again."""


class _Told:
    """Tells a function what is done of how much."""

    def __init__(self, tell: Callable[[int, int | None], None], total: int | None, done: int) -> None:
        self._tell = tell
        self._total = total
        self._done = done

    def advance(self, count: int) -> None:
        self._done += count
        self._tell(self._done, self._total)


class _Silent:
    def advance(self, count: int) -> None:
        pass


class _Tqdm:
    def __init__(self, update: Callable[[float], object]) -> None:
        self._update = update

    def advance(self, count: int) -> None:
        self._update(count)


@contextmanager
def progress_bar(
    progress: Progress, *, total: int | None, unit: str, label: str, done: int = 0
) -> Iterator[Bar]:
    """Show progress for the length of a block.

    Args:
        progress: True for a bar, False for none, or a function that is told what is done and the total.
        total: How much there is to do; None when nobody knows.
        unit: What is counted: `bytes`, or a name such as `rows`.
        label: What stands before the bar.
        done: How much was done before.

    Raises:
        ModuleNotFoundError: A bar is asked for and tqdm is not installed.
    """
    if not isinstance(progress, bool):
        yield _Told(progress, total, done)
    elif not progress:
        yield _Silent()
    else:
        with _tqdm()(
            total=total,
            initial=done,
            desc=label,
            unit="B" if unit == "bytes" else f" {unit}",
            unit_scale=unit == "bytes",
            unit_divisor=1024 if unit == "bytes" else 1000,
        ) as bar:
            yield _Tqdm(bar.update)


def check_progress(progress: Progress) -> None:
    """Refuse what `progress_bar` cannot show, before any work is begun.

    Raises:
        ArgumentError: It is neither a bool nor a function.
        ModuleNotFoundError: A bar is asked for and tqdm is not installed.
    """
    if progress is True:
        _tqdm()
    elif progress is not False and not callable(progress):
        raise ArgumentError(
            f"progress is {progress!r:.50}, expected True, False or a function of what is done and the total"
        )


def _tqdm() -> Callable[..., Any]:
    try:
        from tqdm.auto import tqdm
    except ModuleNotFoundError as error:
        if error.name not in ("tqdm", "tqdm.auto"):
            raise
        raise ModuleNotFoundError(
            "progress=True needs tqdm, which the extra brings: pip install 'maas-client[progress]'",
            name="tqdm",
        ) from error
    kind: Callable[..., Any] = tqdm
    return kind
