"""Checks a call's instances against a task's inputs, row by row, collecting every fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reference_server.errors import Unprocessable
from reference_server.runtime.tasks.faults import Faults, check_names, json_type, printable
from reference_server.runtime.tasks.task import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import JsonValue


# How a value of each type looks in an error message.
_SHOWN = {"string": '"…"', "base64 string": '"…"', "number": "0.5"}


class InputFault(Exception):  # noqa: N818 - a finding on its way into the list of them
    """What is wrong with one input of one instance.

    Args:
        code: For programs, in snake case.
        message: What was expected and what came.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Inputs:
    """What one instance of a task takes.

    Args:
        checks: For each input its type in words, and a function that returns the value fit for the task or
            raises `InputFault`.
        options: A function that checks one option's value, by the option's name.
        task: What the task is called in messages.
    """

    def __init__(
        self,
        task: str,
        checks: Mapping[str, tuple[str, Callable[[Any], Any]]],
        options: Mapping[str, Callable[[Any], JsonValue]] | None = None,
    ) -> None:
        self._task = task
        self._types = {name: kind for name, (kind, _) in checks.items()}
        self._checks = {name: check for name, (_, check) in checks.items()}
        self._options = options or {}

    def decode(self, instances: Sequence[object], parameters: Mapping[str, object], *, single: bool) -> Batch:
        """Return checked instances by column; see `Task.decode`."""
        if not instances:
            raise Unprocessable("there is no instance; send at least one", param="instances")
        faults = Faults(single=single)
        checked = self._parameters(parameters, faults) if parameters else {}
        columns: dict[str, list[Any]] = {name: [] for name in self._checks}
        for row, instance in enumerate(instances):
            self._decode_row(row, instance, columns, faults)
            if faults.full:
                break
        faults.raise_any()
        return Batch(columns, checked)

    def _decode_row(self, row: int, instance: object, columns: dict[str, list[Any]], faults: Faults) -> None:
        if not isinstance(instance, dict):
            shown = ", ".join(
                f'"{name}": {_SHOWN.get(kind, "…")}' for name, kind in list(self._types.items())[:3]
            )
            message = f"an object such as {{{shown}}} is expected, not {json_type(instance)}"
            faults.add(row, None, "wrong_type", message)
            return
        if instance.keys() != self._types.keys():
            check_names(faults, row, instance, self._types)
        for name, check in self._checks.items():
            if name in instance:
                try:
                    columns[name].append(check(instance[name]))
                except InputFault as fault:
                    faults.add(row, name, fault.code, fault.message)

    def _parameters(self, parameters: Mapping[str, object], faults: Faults) -> dict[str, JsonValue]:
        checked: dict[str, JsonValue] = {}
        for name, value in parameters.items():
            if faults.full:
                break
            check = self._options.get(name)
            if check is None:
                has = f"has: {', '.join(self._options)}" if self._options else "has none"
                message = f"{printable(name)!r} is no option of {self._task}, which {has}"
                faults.add_parameter(name, "unknown_parameter", message)
                continue
            try:
                if value is not None:
                    checked[name] = check(value)
            except InputFault as fault:
                faults.add_parameter(name, fault.code, fault.message)
        return checked


def top_k(value: object) -> int:
    """Check the option `top_k`: how many of the best scores are wanted."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        shown = str(value) if isinstance(value, int | float) else json_type(value)
        raise InputFault("invalid_parameter", f"an integer of at least 1 is expected, not {shown[:40]}")
    return value
