from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_server import sketches

durations = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=60)


def nearest_rank(values, fraction):
    return sorted(values)[int(fraction * (len(values) - 1))]


@settings(derandomize=True, max_examples=200, deadline=None)
@given(durations, st.sampled_from([0.0, 0.5, 0.95, 1.0]))
def test_a_quantile_is_within_its_error_of_the_true_one(values, fraction):
    """Whatever was counted, a quantile read from the counts is at most 2 % away."""
    counts = Counter(map(sketches.bucket_of, values))
    true = nearest_rank(values, fraction)
    assert abs(sketches.quantile(counts, fraction) - true) <= sketches.RELATIVE_ERROR * true * (1 + 1e-9)


@settings(derandomize=True, max_examples=50, deadline=None)
@given(durations, durations)
def test_sketches_add_up(one, other):
    """Two workers' counts added are the counts of both workers' durations."""
    together = Counter(map(sketches.bucket_of, one)) + Counter(map(sketches.bucket_of, other))
    assert together == Counter(map(sketches.bucket_of, one + other))


def test_what_takes_no_time_is_counted_as_a_microsecond():
    """A timer that did not move is no error."""
    counts = {sketches.bucket_of(0.0): 3}
    assert sketches.quantile(counts, 0.5) == pytest.approx(sketches.SHORTEST, rel=sketches.RELATIVE_ERROR)


def test_nothing_has_no_quantile():
    """An empty sketch says so."""
    with pytest.raises(ValueError, match="without counts"):
        sketches.quantile({}, 0.5)
