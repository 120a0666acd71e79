import numpy as np
import pytest

from reference_server.catalogue import scikit_data
from reference_server.catalogue.scikit_data import Rows, split
from reference_server.catalogue.sources import SCIKIT_LEARN, SourceError, Wheels


@pytest.fixture
def wheels(tmp_path, make_wheel):
    """Return the reader of a wheel of the given files."""

    def of(files):
        path = tmp_path / "wheel"
        path.write_bytes(make_wheel("scikit_learn", "1.7.2", files))
        return Wheels({SCIKIT_LEARN: path})

    return of


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [("iris", (60, 4), {0, 1, 2}), ("digits", (40, 64), set(range(10))), ("diabetes", (50, 10), None)],
)
def test_a_data_set_is_read_from_the_wheel(wheels, scikit_files, name, shape, classes):
    """Features and targets, the latter as classes where they are."""
    rows = getattr(scikit_data, name)(wheels(scikit_files))
    assert rows.features.shape == shape
    assert rows.targets.shape == shape[:1]
    assert classes is None or set(rows.targets.tolist()) == classes


@pytest.mark.parametrize(
    ("name", "content"),
    [("iris", b"1,1\na,b"), ("digits", b"not packed"), ("digits", b"\x1f\x8b"), ("diabetes", b"\xff")],
)
def test_a_damaged_file_is_named(wheels, scikit_files, name, content):
    """The error names the file and the wheel."""
    broken = {path: content if f"/{name}" in path else each for path, each in scikit_files.items()}
    with pytest.raises(SourceError, match=f"{name}.* in {SCIKIT_LEARN.file} cannot be read"):
        getattr(scikit_data, name)(wheels(broken))


def test_a_split_keeps_every_row_once_and_twins_together():
    """A fifth of the distinct rows is held out; a row that stands twice is on one side."""
    features = np.repeat(np.arange(50.0), 2)[:, None]
    parts = split(Rows(features, np.arange(100)))
    train, held_out = set(parts.train.features[:, 0]), set(parts.held_out.features[:, 0])
    assert len(held_out) == 10
    assert not train & held_out
    assert sorted([*parts.train.targets, *parts.held_out.targets]) == list(range(100))


def test_a_split_is_always_the_same():
    """The seed is part of what a manifest says."""
    rows = Rows(np.arange(40.0)[:, None], np.arange(40))
    np.testing.assert_array_equal(split(rows).held_out.targets, split(rows).held_out.targets)
    assert split(rows).described == "held out, 20%, seed 7, equal rows on one side"
