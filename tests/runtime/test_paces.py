"""Tests how long a row is expected to take, by the runs before."""

from types import SimpleNamespace

import pytest

from reference_server.runtime.paces import Paces


@pytest.fixture
def paces():
    """The paces of a model whose rows take a tenth of a second."""
    paces = Paces()
    paces.ran(MODEL, 2, 0.2)
    return paces


MODEL = SimpleNamespace()


def test_a_model_that_has_not_run_is_expected_to_take_no_time():
    """There is nothing to go by."""
    assert Paces().seconds(MODEL, 8) == 0


def test_the_pace_is_that_of_a_row(paces):
    """Eight rows take eight times as long."""
    assert paces.seconds(MODEL, 8) == pytest.approx(0.8)


def test_a_machine_that_stood_still_is_soon_forgotten(paces):
    """A run that slept for an hour does not have calls refused for the next ones."""
    paces.ran(MODEL, 1, 3600.0)
    assert paces.seconds(MODEL, 1) < 0.2
    for _ in range(10):
        paces.ran(MODEL, 1, 0.1)
    assert paces.seconds(MODEL, 1) == pytest.approx(0.1, rel=0.1)


def test_a_model_that_has_become_slower_is_followed(paces):
    """A hundred times slower is known within twelve runs; quicker within some twenty."""
    for _ in range(18):
        paces.ran(MODEL, 1, 10.0)
    assert paces.seconds(MODEL, 1) > 9
    for _ in range(25):
        paces.ran(MODEL, 1, 0.1)
    assert paces.seconds(MODEL, 1) < 0.2
