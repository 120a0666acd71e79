"""Progress of long work: a bar in terminals and notebooks, a function of the caller's, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from maas_client.errors import ArgumentError

if TYPE_CHECKING:
    from tqdm import tqdm

Progress: TypeAlias = bool | Callable[[int, int], None]


class Bar(Protocol):
    """What work tells of its progress."""

    def advance(self, count: int) -> None:
        """Tell that so many more units are done; below 0 when some must be done again."""

    def tell(self, text: str) -> None:
        """Say something of them, such as how good what was made of them is."""


@contextmanager
def progress_bar(
    progress: Progress, *, total: int | None, unit: str, label: str, done: int = 0
) -> Iterator[Bar]:
    """Give what shows progress as the caller wants it, until the end of the block, however that ends.

    Args:
        progress: True for a bar on standard error or in the notebook, which needs the extra `progress`; a
            function that gets the units done and the total, 0 where that is not known; False for nothing.
        total: How many units there are, or None.
        unit: What is counted: `B` for bytes, which are shown as KB and MB, or such as `row`.
        label: What the bar says before it.
        done: How many units were done before.

    Raises:
        ArgumentError: `progress` is none of these.
        ModuleNotFoundError: A bar was asked for and tqdm is not installed.
    """
    check_progress(progress)
    if progress is True:
        with _tqdm()(total=total, unit=unit, unit_scale=unit == "B", desc=label, initial=done) as bar:
            yield _Shown(bar)
    elif progress is False:
        yield _Silent()
    else:
        yield _Told(progress, total or 0, done)


def check_progress(progress: Progress) -> None:
    """Refuse what `progress_bar` cannot show, before any work is begun.

    Raises:
        ArgumentError, ModuleNotFoundError: As `progress_bar`.
    """
    if progress is True:
        _tqdm()
    elif progress is not False and not callable(progress):
        raise ArgumentError(
            f"progress is {progress!r:.50}, expected True, False or a function of what is done and the total"
        )


def _tqdm() -> Callable[..., tqdm[Any]]:
    try:
        from tqdm.auto import tqdm
    except ModuleNotFoundError as error:
        if error.name not in ("tqdm", "tqdm.auto"):
            raise
        raise ModuleNotFoundError(
            "progress=True needs tqdm, which the extra brings: pip install 'maas-client[progress]'; else "
            "progress takes a function of what is done and the total",
            name="tqdm",
        ) from error
    return tqdm


class _Silent:
    def advance(self, count: int) -> None:
        pass

    def tell(self, text: str) -> None:
        pass


class _Shown:
    def __init__(self, bar: tqdm[Any]) -> None:
        self._bar = bar

    def advance(self, count: int) -> None:
        self._bar.update(count)

    def tell(self, text: str) -> None:
        self._bar.set_postfix_str(text)


class _Told:
    def __init__(self, tell: Callable[[int, int], None], total: int, done: int) -> None:
        self._tell = tell
        self._total = total
        self._done = done

    def advance(self, count: int) -> None:
        self._done += count
        self._tell(self._done, self._total)

    def tell(self, text: str) -> None:
        """Do nothing: the function is one of counts."""
