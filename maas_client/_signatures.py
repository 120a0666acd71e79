"""What differs between what two versions take and return, and what of it breaks a caller's code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maas_client.types import SignatureDifference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from maas_client.types import InputSpec, OutputSpec, TaskSignature, TensorSignature, TensorSpec, Version

ANY_SIZE = -1
_MOST_CHARACTERS = 200
_TASK, _TENSORS = "task", "tensors"


@dataclass(frozen=True, slots=True)
class Interface:
    """All of a version that a caller's code depends on."""

    task: str
    signature: TaskSignature
    tensors: TensorSignature
    labels: Sequence[str]

    @classmethod
    def of(cls, version: Version) -> Interface:
        """Return that of a version."""
        return cls(version.task, version.signature, version.tensors, version.manifest.labels)


def differences(before: Interface, after: Interface) -> list[SignatureDifference]:
    """Return what differs between two versions' interfaces.

    An input may become wider and an output narrower without breaking anybody: what was sent is still taken,
    what comes is still understood. Everything else breaks some caller, also a new input, since every input
    is required, and another order of labels, by which `/v2` tells them apart.

    Args:
        before: What callers were written against.
        after: What they would meet.

    Returns:
        The differences: the task's, then those of the graph's tensors.
    """
    return [
        *_values("task", _TASK, "task", before.task, after.task, breaking=True),
        *_inputs(before.signature.inputs, after.signature.inputs),
        *_outputs(before.signature.outputs, after.signature.outputs),
        *_labels(before.labels, after.labels),
        *_tensors("input", before.tensors.inputs, after.tensors.inputs),
        *_tensors("output", before.tensors.outputs, after.tensors.outputs),
    ]


def _inputs(before: Sequence[InputSpec], after: Sequence[InputSpec]) -> Iterator[SignatureDifference]:
    pairs = _Pairs(_by_name(before), _by_name(after), _TASK, "input")
    yield from pairs.unpaired(lambda spec: (spec.type, spec.datatype), added_breaks=True)
    for old, new in pairs.both:
        yield from _input(old, new)


def _input(old: InputSpec, new: InputSpec) -> Iterator[SignatureDifference]:
    yield from _values("input_type", _TASK, old.name, old.type, new.type, breaking=True)
    yield from _values("input_datatype", _TASK, old.name, old.datatype, new.datatype, breaking=True)
    # A unit that was never told is not another one.
    told = old.unit is not None and new.unit is not None
    yield from _values("input_unit", _TASK, old.name, old.unit, new.unit, breaking=told)
    shorter = new.max_length is not None and (old.max_length is None or new.max_length < old.max_length)
    yield from _values("input_max_length", _TASK, old.name, old.max_length, new.max_length, breaking=shorter)
    taken, takes = old.categories, new.categories
    fewer = takes is not None and (taken is None or not set(taken) <= set(takes))
    yield from _values("input_categories", _TASK, old.name, taken, takes, breaking=fewer)
    if old.shape != new.shape:
        narrower = not _fits(old.shape, new.shape)
        yield from _values("input_shape", _TASK, old.name, old.shape, new.shape, breaking=narrower)


def _outputs(before: Sequence[OutputSpec], after: Sequence[OutputSpec]) -> Iterator[SignatureDifference]:
    pairs = _Pairs(_by_name(before), _by_name(after), _TASK, "output")
    yield from pairs.unpaired(lambda spec: spec.type, added_breaks=False)
    for old, new in pairs.both:
        yield from _values("output_type", _TASK, old.name, old.type, new.type, breaking=True)


def _labels(before: Sequence[str], after: Sequence[str]) -> Iterator[SignatureDifference]:
    earlier, later = set(before), set(after)
    for label in before:
        if label not in later:
            yield _difference("label_removed", _TASK, label, breaking=True)
    for label in after:
        if label not in earlier:
            yield _difference("label_added", _TASK, label, breaking=False)
    kept = [label for label in before if label in later]
    still = [label for label in after if label in earlier]
    yield from _values("labels_reordered", _TASK, "labels", kept, still, breaking=True)


def _tensors(
    kind: str, before: Sequence[TensorSpec], after: Sequence[TensorSpec]
) -> Iterator[SignatureDifference]:
    pairs = _Pairs(_by_name(before), _by_name(after), _TENSORS, kind)
    yield from pairs.unpaired(lambda spec: (spec.datatype, spec.shape), added_breaks=kind == "input")
    for old, new in pairs.both:
        yield from _values(f"{kind}_datatype", _TENSORS, old.name, old.datatype, new.datatype, breaking=True)
        if old.shape != new.shape:
            given, taken = (old.shape, new.shape) if kind == "input" else (new.shape, old.shape)
            breaks = not _fits(given, taken)
            yield from _values(f"{kind}_shape", _TENSORS, old.name, old.shape, new.shape, breaking=breaks)


class _Pairs:
    """Things of two versions, paired by their names."""

    def __init__(self, before: Mapping[str, Any], after: Mapping[str, Any], where: str, kind: str) -> None:
        self.both = [(before[name], after[name]) for name in before if name in after]
        self._gone = {name: spec for name, spec in before.items() if name not in after}
        self._new = {name: spec for name, spec in after.items() if name not in before}
        self._where, self._kind = where, kind

    def unpaired(self, nature: Any, *, added_breaks: bool) -> Iterator[SignatureDifference]:  # noqa: ANN401 - a function of either kind of spec
        """Tell of what is gone and what is new; of one each, of the same nature, that it is renamed."""
        if len(self._gone) == len(self._new) == 1:
            ((old, was),), ((new, now),) = self._gone.items(), self._new.items()
            if nature(was) == nature(now):
                yield from _values(f"{self._kind}_renamed", self._where, old, old, new, breaking=True)
                return
        for name in self._gone:
            yield _difference(f"{self._kind}_removed", self._where, name, breaking=True)
        for name in self._new:
            yield _difference(f"{self._kind}_added", self._where, name, breaking=added_breaks)


def _fits(given: Sequence[int] | None, taken: Sequence[int] | None) -> bool:
    """Tell whether whatever has one shape has the other too."""
    if given is None or taken is None:
        return taken is None
    return len(given) == len(taken) and all(
        size in (ANY_SIZE, there) for there, size in zip(given, taken, strict=True)
    )


def _by_name(specs: Sequence[Any]) -> dict[str, Any]:
    return {spec.name: spec for spec in specs}


def _values(
    what: str, where: str, name: str, before: object, after: object, *, breaking: bool
) -> Iterator[SignatureDifference]:
    if before != after:
        kind = what if what.endswith(("_renamed", "_reordered")) else f"{what}_changed"
        yield _difference(kind, where, name, breaking=breaking, before=_told(before), after=_told(after))


def _difference(
    kind: str, where: str, name: str, *, breaking: bool, before: str | None = None, after: str | None = None
) -> SignatureDifference:
    return SignatureDifference(
        kind=kind, where=where, name=name, before=before, after=after, breaking=breaking
    )


def _told(value: object) -> str:
    if value is None:
        return "any"
    text = ", ".join(str(each) for each in value) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
