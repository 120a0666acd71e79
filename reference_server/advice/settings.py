"""Which settings are tried: one thing other than in the original at a time, then the best ones together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from maas_client.types import AdviceSetting, AdviceVariant

_BATCHES = (8, 32)
_OPTIMIZATIONS = ("disabled", "basic", "extended")
WEIGHTS = {
    "int8-weights": "weight-only int8",
    "int8-blocks": "weight-only int8 in blocks (MatMulNBits)",
    "int8-dynamic": "dynamic int8",
    "fp16": "float16",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A setting to be tried, by its name in the advice and in words."""

    name: str
    title: str
    setting: AdviceSetting


def candidates(
    original: AdviceSetting, *, cores: int, devices: Sequence[str], joins: bool
) -> list[Candidate]:
    """Return what is tried beside the original, each other in one thing.

    Args:
        original: How the version is run now.
        cores: How many cores there are; no more threads than that are tried.
        devices: What can run models, such as `cpu` and `cuda:0`.
        joins: Whether rows of several calls can share a run.
    """
    return [
        *_of_weights(original),
        *_of_devices(original, devices),
        *_of_cores(original, cores),
        *(_of_batches(original) if joins else ()),
        *_of_optimizations(original),
    ]


def _of_weights(original: AdviceSetting) -> Iterator[Candidate]:
    for weights, title in WEIGHTS.items():
        # On CPUs float16 is turned back into float32 around each node.
        if weights != "fp16" or original.device != "cpu":
            yield _other(original, weights, title, weights=weights)


def _of_devices(original: AdviceSetting, devices: Sequence[str]) -> Iterator[Candidate]:
    for device in devices:
        if device == original.device:
            continue
        name = device.partition(":")[0]
        yield _other(original, name, f"on {device}", device=device)
        if name == "cuda":
            yield _other(original, "cuda-fp16", f"float16 on {device}", device=device, weights="fp16")


def _of_cores(original: AdviceSetting, cores: int) -> Iterator[Candidate]:
    for count in _powers(cores):
        if count != original.intra_op_threads:
            title = f"{count} thread{'s' * (count > 1)} within an operator"
            yield _other(original, f"threads-{count}", title, intra_op_threads=count)
    for count in _powers(cores):
        if count != original.lanes:
            yield _other(original, f"lanes-{count}", f"{count} lane{'s' * (count > 1)}", lanes=count)


def _of_batches(original: AdviceSetting) -> Iterator[Candidate]:
    for rows in _BATCHES:
        if rows != original.batch_rows:
            yield _other(original, f"batch-{rows}", f"batches of {rows} rows", batch_rows=rows)


def _of_optimizations(original: AdviceSetting) -> Iterator[Candidate]:
    for level in _OPTIMIZATIONS:
        title = f"graph optimisation {level}"
        yield _other(original, f"optimization-{level}", title, graph_optimization=level)


def combined(original: AdviceSetting, best: Sequence[AdviceVariant], *, joins: bool) -> Candidate | None:
    """Return the setting that differs from the original in all that `best` differ in; None of fewer than two.

    Args:
        original: How the version is run now.
        best: Variants that are each other in one thing, the best one first: of the same thing it holds.
        joins: Whether the rows of the weights that are taken can share a run.
    """
    changes: dict[str, object] = {}
    taken: list[AdviceVariant] = []
    for variant in best:
        other = changes_of(original, variant.setting)
        if not joins:
            other.pop("batch_rows", None)
        if other and not other.keys() & changes.keys():
            changes |= other
            taken.append(variant)
    if len(taken) < 2:  # noqa: PLR2004 - one alone was tried already
        return None
    return _other(
        original, "+".join(each.name for each in taken), ", ".join(each.title for each in taken), **changes
    )


def changes_of(original: AdviceSetting, other: AdviceSetting) -> dict[str, object]:
    """Return in what a setting differs from the original."""
    before, after = original.model_dump(), other.model_dump()
    return {name: value for name, value in after.items() if before[name] != value}


def _other(original: AdviceSetting, name: str, title: str, **changes: object) -> Candidate:
    return Candidate(name, title, original.model_copy(update=changes))


def _powers(cores: int) -> list[int]:
    return [2**power for power in range(cores.bit_length())]
