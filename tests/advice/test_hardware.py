"""What other hardware would bring: only what was measured is said."""

from datetime import UTC, datetime

from maas_client.types import AdviceMachine, Performance
from reference_server.advice.hardware import elsewhere
from tests.advice.test_choice import ORIGINAL, variant

MACHINE = AdviceMachine(cores=4, architecture="x86_64", devices=["cpu"], onnxruntime="1")


def said(variants, not_measured=None, served=()):
    found = elsewhere([ORIGINAL, *variants], MACHINE, not_measured or {}, served)
    return {each.hardware: each for each in found}


def test_cores_that_are_used_well_are_worth_more_of_them():
    """By the fewest and the most that were tried."""
    cores = said(
        [
            variant("threads-2", call=0.6, intra_op_threads=2),
            variant("threads-4", call=0.3, intra_op_threads=4),
            variant("lanes-4", row=0.8, lanes=4),
        ]
    )["cores"]
    assert cores.measured
    assert cores.variants == ["original", "threads-2", "threads-4", "lanes-4"]
    first, second = cores.text.split("; ")
    assert "with 4 threads in an operator is 3.33 times as fast as with 1" in first
    assert first.endswith("more cores would bring more")
    assert "with 4 lanes is 1.25 times as fast as with 1" in second
    assert second.endswith("more cores would bring little")


def test_without_measured_rows_nothing_is_said_of_cores():
    """No guess takes their place."""
    cores = said([variant("int8-weights", call=0.5, weights="int8-weights")])["cores"]
    assert (cores.measured, cores.variants) == (False, [])
    assert "nothing is known" in cores.text


def test_a_gpu_is_told_of_where_it_was_measured():
    """Here, or by real calls to the version; else why not."""
    here = said([variant("cuda", call=0.1, row=0.05, device="cuda:0")])["gpu"]
    assert (here.measured, here.variants) == (True, ["cuda"])
    assert "a call takes 0.10" in here.text
    now = datetime.now(UTC)
    calls = Performance(device="cuda:0", calls=50, rows=50, p50_ms=1.5, since=now, updated_at=now)
    served = said([], served=[calls])["gpu"]
    assert served.measured
    assert "1.5 ms on cuda:0 (50 calls)" in served.text
    none = said([], {"cuda": "no driver"})["gpu"]
    assert (none.measured, "no driver" in none.text) == (False, True)
