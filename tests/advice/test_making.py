"""Graphs made in a process of their own: what crashes there ends nothing here."""

from __future__ import annotations

import os

from reference_server.advice import making
from reference_server.advice.graphs import CannotBeMade
from tests.advice.test_graphs import perceptron


def dies_of_dynamic(_graph, names):
    """Do as a converter that crashes on one variant."""
    if "int8-dynamic" in names:
        os.abort()
    return {name: name.encode() for name in names}


def test_the_graphs_come_back_with_the_reasons_for_those_that_do_not():
    """The same bytes as made here."""
    graph, names = perceptron(9), ["int8-weights", "int8-blocks"]
    made = making.make(graph, names)
    assert made["int8-blocks"] == making.make_here(graph, names)["int8-blocks"]
    assert isinstance(made["int8-weights"], CannotBeMade)
    assert "comes with opset 10" in str(made["int8-weights"])


def test_a_converter_that_crashes_spoils_nothing(monkeypatch):
    """The other variants are made; why there is none is told."""
    monkeypatch.setattr(making, "make_here", dies_of_dynamic)
    made = making.make(b"", ["int8-weights", "int8-dynamic"])
    assert made["int8-weights"] == b"int8-weights"
    assert "crashed on this graph" in str(made["int8-dynamic"])
    assert "status -6" in str(made["int8-dynamic"])
