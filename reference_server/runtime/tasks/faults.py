"""Collects every fault of a call, so that a caller can mend all bad rows at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client.types import ErrorDetail
from reference_server.errors import Unprocessable

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FAULTS = 100
_MAX_NAME_CHARACTERS = 100

_JSON_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),  # before int, of which bool is a kind
    (str, "a string"),
    (int, "an integer"),
    (float, "a number"),
    (list, "a list"),
    (dict, "an object"),
    (type(None), "null"),
)


class Faults:
    """The faults of one call.

    Args:
        single: Whether the call has one instance only, whose inputs are named without `instances[0].`.
    """

    def __init__(self, *, single: bool) -> None:
        self._single = single
        self._details: list[ErrorDetail] = []

    @property
    def full(self) -> bool:
        """Whether as many were found as are listed."""
        return len(self._details) >= MAX_FAULTS

    def add(self, row: int, name: str | None, code: str, message: str) -> None:
        """Add a fault of one input of an instance, or of the instance itself when `name` is None."""
        param = ".".join(part for part in (self._row(row), printable(name or "")) if part)
        self._details.append(ErrorDetail(code=code, message=message, param=param or None))

    def add_parameter(self, name: str, code: str, message: str) -> None:
        """Add a fault of an option of the call."""
        self._details.append(ErrorDetail(code=code, message=message, param=f"parameters.{printable(name)}"))

    def raise_any(self) -> None:
        """Raise what was found, if anything was."""
        if not self._details:
            return
        first = self._details[0]
        codes = {detail.code for detail in self._details}
        raise Unprocessable(
            self._summary(first),
            code=first.code if len(codes) == 1 else "invalid_input",
            param=first.param,
            details=() if self._single and len(self._details) == 1 else self._details,
        )

    def _row(self, row: int) -> str:
        return "" if self._single else f"instances[{row}]"

    def _summary(self, first: ErrorDetail) -> str:
        count = len(self._details)
        if count == 1:
            return first.message if self._single else f"{first.param}: {first.message}"
        found = f"at least {count}" if self.full else str(count)
        return (
            f"{found} faults, the first in {first.param or 'the instance'}: {first.message}; nothing was run"
        )


def check_names(
    faults: Faults, row: int, instance: Mapping[str, object], expected: Mapping[str, str]
) -> None:
    """Add a fault for every input that is missing from an instance or not known.

    Args:
        faults: Where to add them.
        row: The instance's index in the call.
        instance: A JSON object.
        expected: The inputs' types by name.
    """
    wanted = ", ".join(f"{name} ({kind})" for name, kind in expected.items())
    for name, kind in expected.items():
        if name not in instance:
            faults.add(row, name, "missing_input", f"the input {name!r} is missing; a {kind} is expected")
    for name in instance:
        if name not in expected:
            shown = printable(name)
            faults.add(
                row, name, "unknown_input", f"{shown!r} is no input of this model, which takes {wanted}"
            )
        if faults.full:
            return


def json_type(value: object) -> str:
    """Return what JSON calls a value's type, with its article."""
    return next((name for kind, name in _JSON_TYPES if isinstance(value, kind)), type(value).__name__)


def printable(name: str) -> str:
    """Return a caller's own name fit for a reply: bounded, and with nothing that UTF-8 cannot hold."""
    safe = name[:_MAX_NAME_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
    return safe if len(name) <= _MAX_NAME_CHARACTERS else f"{safe}…"
