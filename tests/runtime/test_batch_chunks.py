from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reference_server.runtime.tasks.chunks import Budget, chunk_by_length


@given(lengths=st.lists(st.integers(0, 50), max_size=60), rows=st.integers(1, 10), cells=st.integers(1, 200))
def test_chunks_hold_every_row_once_and_keep_the_budget(lengths, rows, cells):
    """Every index comes once; only a row that is alone may exceed the cells."""
    chunks = list(chunk_by_length(lengths, Budget(rows, cells)))
    assert sorted(index for chunk in chunks for index in chunk) == list(range(len(lengths)))
    for chunk in chunks:
        assert 1 <= len(chunk) <= rows
        assert len(chunk) == 1 or len(chunk) * max(lengths[index] for index in chunk) <= cells


def test_one_long_row_does_not_blow_up_the_others():
    """Ten thousand short rows and a long one never share a padded tensor."""
    lengths = [5] * 10_000 + [5000]
    chunks = list(chunk_by_length(lengths, Budget(rows=128, cells=8192)))
    assert chunks[-1] == [10_000]
    assert max(len(chunk) * max(lengths[index] for index in chunk) for chunk in chunks) <= 8192
