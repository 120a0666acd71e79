"""What other hardware would bring, as far as anything that was measured tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from maas_client._advice_choice import ORIGINAL
from maas_client.types import HardwareAdvice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from maas_client.types import AdviceMachine, AdviceSetting, AdviceVariant, Performance


@dataclass(frozen=True, slots=True)
class _Use:
    """One way to use more cores, and what it should make faster."""

    prefix: str
    of: str
    what: str
    ratio: str
    count: Callable[[AdviceSetting], int]


_USES = (
    _Use("threads", "threads in an operator", "a call", "latency", lambda each: each.intra_op_threads),
    _Use("lanes", "lanes", "a row with all lanes busy", "time_per_row", lambda each: each.lanes),
)
# A second core that brings less than this is mostly idle.
_WELL_USED = 0.75


def elsewhere(
    variants: Sequence[AdviceVariant],
    machine: AdviceMachine,
    not_measured: Mapping[str, str],
    served: Sequence[Performance],
) -> list[HardwareAdvice]:
    """Return what more cores and a GPU would bring.

    Args:
        variants: What was measured, the original first.
        machine: Where.
        not_measured: Why each of the others was not, by its name.
        served: What this server measured of real calls to the version, by device.
    """
    return [_cores(variants, machine), _gpu(variants, not_measured, served)]


def _cores(variants: Sequence[AdviceVariant], machine: AdviceMachine) -> HardwareAdvice:
    told: list[str] = []
    names: list[str] = []
    for use in _USES:
        found = [variants[0], *(each for each in variants if each.name.startswith(f"{use.prefix}-"))]
        if (text := _scaling(found, use)) is not None:
            told.append(text)
            names += [each.name for each in found if each.name not in names]
    if told:
        return HardwareAdvice(hardware="cores", measured=True, text="; ".join(told), variants=names)
    return HardwareAdvice(
        hardware="cores",
        measured=False,
        text=f"no two settings that use more and fewer of this machine's cores ({machine.cores}) were "
        "measured, so nothing is known of more",
    )


def _scaling(found: Sequence[AdviceVariant], use: _Use) -> str | None:
    """Return how the time falls from the fewest to the most lanes or threads."""
    narrow = min(found, key=lambda each: use.count(each.setting))
    wide = max(found, key=lambda each: use.count(each.setting))
    few, many = use.count(narrow.setting), use.count(wide.setting)
    if few == many:
        return None
    speedup = _median(narrow, use.ratio) / _median(wide, use.ratio)
    judged = (
        "more cores would bring more"
        if speedup >= _WELL_USED * many / few
        else "more cores would bring little"
    )
    return f"{use.what} with {many} {use.of} is {speedup:.2f} times as fast as with {few}: {judged}"


def _gpu(
    variants: Sequence[AdviceVariant], not_measured: Mapping[str, str], served: Sequence[Performance]
) -> HardwareAdvice:
    there = [each for each in variants if each.setting.device != "cpu" and each.name != ORIGINAL]
    if variants[0].setting.device != "cpu":
        return _from_the_gpu(variants)
    if there:
        best = min(there, key=lambda each: _median(each, "time_per_row"))
        return HardwareAdvice(
            hardware="gpu",
            measured=True,
            text=f"on {best.setting.device} ({best.name}) a call takes {_median(best, 'latency'):.2f} of the "
            f"original's time, and a row with all lanes busy {_median(best, 'time_per_row'):.2f}",
            variants=[each.name for each in there],
        )
    real = [each for each in served if each.device != "cpu" and each.p50_ms is not None]
    if real:
        told = ", ".join(f"{each.p50_ms:.3g} ms on {each.device} ({each.calls:,} calls)" for each in real)
        return HardwareAdvice(
            hardware="gpu", measured=True, text=f"real calls to this version took a median of {told}"
        )
    why = not_measured.get("cuda", "none is here")
    return HardwareAdvice(
        hardware="gpu", measured=False, text=f"not measured: {why}; ask for advice on a machine with a GPU"
    )


def _from_the_gpu(variants: Sequence[AdviceVariant]) -> HardwareAdvice:
    cpu = next((each for each in variants if each.setting.device == "cpu"), None)
    if cpu is None:
        return HardwareAdvice(hardware="gpu", measured=False, text="it runs on a GPU already")
    return HardwareAdvice(
        hardware="gpu",
        measured=True,
        text=f"it runs on a GPU already; on the CPU a call takes {_median(cpu, 'latency'):.2f} times as long",
        variants=[cpu.name],
    )


def _median(variant: AdviceVariant, ratio: str) -> float:
    found = getattr(variant, ratio)
    return 1.0 if found is None else float(found.median)
