"""From measured variants to a recommendation: the front, the noise, quality, and when there is none."""

import pytest

from maas_client import _advice_choice as choice
from maas_client.types import AdviceInterval, AdviceQuality, AdviceSetting, AdviceVariant
from reference_server.advice.settings import candidates, changes_of, combined

MIB = 2**20


def variant(name, *, call=1.0, row=1.0, memory=100, loss=None, spread=0.02, applicable=True, **setting):
    def interval(median):
        return AdviceInterval(median=median, low=median - spread, high=median + spread, pairs=50)

    quality = None
    if loss is not None:
        quality = AdviceQuality(
            measure="label",
            rows=100,
            agreement=1 - loss,
            largest_shift=loss,
            mean_shift=loss,
            loss=loss,
            loss_of="label",
        )
    is_original = name == "original"
    return AdviceVariant(
        name=name,
        title=f"the {name}",
        setting=AdviceSetting(**setting),
        p50_ms=call,
        p99_ms=2 * call,
        calls=50,
        throughput_rows_per_second=100 / row,
        memory_bytes=memory * MIB,
        load_ms=1,
        package_bytes=1,
        graph_sha256="0" * 64,
        latency=None if is_original else interval(call),
        time_per_row=None if is_original else interval(row),
        batch_invariant=True,
        quality=quality,
        applicable=applicable and not is_original,
    )


ORIGINAL = variant("original")


def chosen(variants, objective="latency", *, loss=0.01, sample=100):
    found = choice.ranked([ORIGINAL, *variants], objective, max_quality_loss=loss, sample_rows=sample)
    return [each.name for each in found]


def test_the_front_holds_what_nothing_else_beats():
    """In a call's time, a row's time, memory and quality."""
    variants = [
        ORIGINAL,
        variant("fast", call=0.5),
        variant("worse", call=0.6),
        variant("small", call=1.2, memory=20),
        variant("lossy", call=0.5, loss=0.1),
        variant("lossy and small", call=0.5, memory=10, loss=0.1),
    ]
    front = [each.name for each in choice.front(variants) if each.pareto]
    assert front == ["fast", "small", "lossy and small"]


def test_the_best_one_is_first_by_the_objective():
    """A call's time, a row's, or memory."""
    variants = [
        variant("quick", call=0.5, row=0.9),
        variant("busy", call=1.5, row=0.2),
        variant("small", memory=10),
    ]
    assert chosen(variants, "latency") == ["quick"]
    assert chosen(variants, "throughput") == ["busy", "quick"]
    assert chosen(variants, "memory") == ["small"]


def test_quality_goes_before_speed():
    """What loses more than is allowed is not ranked, and None may be allowed."""
    lossy = variant("lossy", call=0.2, loss=0.02)
    assert chosen([lossy], loss=0.02) == ["lossy"]
    assert chosen([lossy], loss=0.019) == []
    assert chosen([variant("same", call=0.2, loss=0.0)], loss=0) == ["same"]


def test_of_few_rows_no_change_of_weights_is_ranked():
    """A setting that changes no result needs no sample."""
    variants = [variant("int8", call=0.2, loss=0.0), variant("threads", call=0.5)]
    assert chosen(variants, sample=choice.LEAST_SAMPLE_ROWS - 1) == ["threads"]
    assert chosen(variants, sample=choice.LEAST_SAMPLE_ROWS) == ["int8", "threads"]


def test_what_cannot_be_applied_is_not_ranked():
    """It is there for comparison."""
    assert chosen([variant("basic", call=0.2, applicable=False)]) == []


@pytest.mark.parametrize(
    ("call", "spread", "certain"),
    [(0.9, 0.01, True), (0.9, 0.06, False), (0.97, 0.001, False), (1.0, 0.2, False), (0.5, 0.3, True)],
)
def test_only_what_is_better_by_more_than_noise_is_certain(call, spread, certain):
    """The whole interval lies below 1/1.05 of the original's time."""
    assert choice.is_certain(variant("v", call=call, spread=spread), ORIGINAL, "latency") is certain


def test_memory_that_is_within_a_few_pages_is_no_gain():
    """It is measured once, and a process's size wanders."""
    small = variant("original", memory=3)
    assert choice.gain_of(variant("v", memory=2), small, "memory") is None
    assert choice.gain_of(variant("v", memory=50), ORIGINAL, "memory") == 2


def test_the_reason_tells_the_gain_the_quality_and_the_price():
    """In words, with the interval turned round for the factor."""
    found = choice.recommended(variant("v", call=0.5, row=1.5, memory=300, loss=0.01), ORIGINAL, "latency")
    assert found.variant == "v"
    assert found.gain == 2
    assert found.gain_interval == (pytest.approx(1 / 0.52), pytest.approx(1 / 0.48))
    for words in (
        "a call takes 0.50 of the original's time (95 % interval 0.48 to 0.52, 50 pairs)",
        "99.0% agree",
        "but a row with all lanes busy takes 1.50 times as long",
        "3.00 times the memory",
    ):
        assert words in found.reason


@pytest.mark.parametrize(
    ("variants", "tried", "words"),
    [
        ([variant("v", call=1.1)], [], "nothing that was tried is better"),
        ([variant("v", call=0.5, loss=0.2)], [], "v would be better"),
        ([variant("v", call=0.5, loss=0.2)], [], "it loses 0.2 (share of rows with another label)"),
        ([variant("v", call=0.9)], [variant("v", call=0.98)], "within the noise"),
        (
            [variant("v"), variant("w", call=0.5, loss=0.2)],
            [variant("v", call=0.98)],
            "within the noise; w would be better",
        ),
    ],
)
def test_to_leave_it_as_it_is_has_a_reason_too(variants, tried, words):
    """What came nearest, and why that is not enough."""
    found = choice.left_as_it_is(
        [ORIGINAL, *variants], "latency", max_quality_loss=0.01, sample_rows=100, tried=tried
    )
    assert (found.variant, found.gain) == (None, None)
    assert found.reason.startswith("leave it as it is: ")
    assert words in found.reason


def test_candidates_differ_from_the_original_in_one_thing():
    """And in no more than this machine has."""
    original = AdviceSetting(lanes=2, intra_op_threads=1)
    found = candidates(original, cores=4, devices=["cpu"], joins=True)
    assert all(len(changes_of(original, each.setting)) == 1 for each in found)
    assert [each.name for each in found] == [
        "int8-weights",
        "int8-blocks",
        "int8-dynamic",
        "threads-2",
        "threads-4",
        "lanes-1",
        "lanes-4",
        "batch-8",
        "batch-32",
        "optimization-disabled",
        "optimization-basic",
        "optimization-extended",
    ]


def test_a_gpu_brings_its_own_candidates():
    """The same graph there, and in float16; where it runs there already, the processor."""
    devices = ["cpu", "cuda:0"]
    made = candidates(AdviceSetting(), cores=1, devices=devices, joins=False)
    found = {each.name: each.setting for each in made}
    assert (found["cuda"].device, found["cuda"].weights) == ("cuda:0", "original")
    assert (found["cuda-fp16"].device, found["cuda-fp16"].weights) == ("cuda:0", "fp16")
    there = candidates(AdviceSetting(device="cuda:0"), cores=1, devices=devices, joins=False)
    assert {"fp16", "cpu"} <= {each.name for each in there}


def test_the_best_ones_are_tried_together():
    """Of the same thing the better one; one alone was tried already."""
    original = AdviceSetting()
    best = [
        variant("int8-dynamic", weights="int8-dynamic"),
        variant("int8-weights", weights="int8-weights"),
        variant("threads-2", intra_op_threads=2),
        variant("batch-8", batch_rows=8),
    ]
    found = combined(original, best, joins=True)
    assert found.name == "int8-dynamic+threads-2+batch-8"
    assert found.setting == AdviceSetting(weights="int8-dynamic", intra_op_threads=2, batch_rows=8)
    assert combined(original, best, joins=False).setting.batch_rows == 1
    assert combined(original, best[:2], joins=True) is None
