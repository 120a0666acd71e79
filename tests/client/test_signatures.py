from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maas_client._signatures import Interface, differences
from maas_client.types import TaskSignature, TensorSignature


def interface(*, task="text-classification", inputs=(), outputs=(), tensors=((), ()), labels=()):
    return Interface(
        task,
        TaskSignature(inputs=list(inputs), outputs=list(outputs)),
        TensorSignature(inputs=list(tensors[0]), outputs=list(tensors[1])),
        labels,
    )


def found(before, after):
    return [(each.where, each.kind, each.name, each.breaking) for each in differences(before, after)]


def text(**changed):
    return {"name": "text", "type": "string", **changed}


def tensor(*shape, name="x", datatype="FP32"):
    return {"name": name, "datatype": datatype, "shape": list(shape)}


INPUTS = {
    "the same": ([text()], [text(description="another text")], []),
    "one more": ([text()], [text(), text(name="b")], [("input_added", "b", True)]),
    "one less": ([text(), text(name="b")], [text()], [("input_removed", "b", True)]),
    "another name": ([text()], [text(name="sentence")], [("input_renamed", "text", True)]),
    "another name and type": (
        [text()],
        [text(name="image", type="image")],
        [("input_removed", "text", True), ("input_added", "image", True)],
    ),
    "another order": ([text(), text(name="b")], [text(name="b"), text()], []),
    "another type": ([text()], [text(type="number")], [("input_type_changed", "text", True)]),
    "shorter": ([text(max_length=10)], [text(max_length=9)], [("input_max_length_changed", "text", True)]),
    "longer": ([text(max_length=9)], [text(max_length=10)], [("input_max_length_changed", "text", False)]),
    "limited": ([text()], [text(max_length=10)], [("input_max_length_changed", "text", True)]),
    "another unit": ([text(unit="m")], [text(unit="ft")], [("input_unit_changed", "text", True)]),
    "a unit told": ([text()], [text(unit="ft")], [("input_unit_changed", "text", False)]),
    "fewer categories": (
        [text(categories=["a", "b"])],
        [text(categories=["a"])],
        [("input_categories_changed", "text", True)],
    ),
    "more categories": (
        [text(categories=["a"])],
        [text(categories=["a", "b"])],
        [("input_categories_changed", "text", False)],
    ),
    "any category": (
        [text(categories=["a"])],
        [text()],
        [("input_categories_changed", "text", False)],
    ),
    "any size": (
        [text(type="tensor", datatype="FP32", shape=[3])],
        [text(type="tensor", datatype="FP32", shape=[-1])],
        [("input_shape_changed", "text", False)],
    ),
    "one size only": (
        [text(type="tensor", datatype="FP32", shape=[-1])],
        [text(type="tensor", datatype="FP64", shape=[3])],
        [("input_datatype_changed", "text", True), ("input_shape_changed", "text", True)],
    ),
}


@pytest.mark.parametrize(("before", "after", "expected"), INPUTS.values(), ids=INPUTS)
def test_inputs_may_become_wider_and_nothing_else(before, after, expected):
    """What was sent must still be taken; every input is required, so a new one breaks calls."""
    told = found(interface(inputs=before), interface(inputs=after))
    assert told == [("task", *each) for each in expected]


OUTPUTS = {
    "one more": ([text()], [text(), text(name="b")], [("output_added", "b", False)]),
    "one less": ([text(), text(name="b")], [text()], [("output_removed", "b", True)]),
    "another name": ([text()], [text(name="b")], [("output_renamed", "text", True)]),
    "another type": ([text()], [text(type="number")], [("output_type_changed", "text", True)]),
}


@pytest.mark.parametrize(("before", "after", "expected"), OUTPUTS.values(), ids=OUTPUTS)
def test_outputs_may_become_more(before, after, expected):
    """What was read must still be there."""
    told = found(interface(outputs=before), interface(outputs=after))
    assert told == [("task", *each) for each in expected]


LABELS = {
    "one less": ("abc", "ac", [("label_removed", "b", True)]),
    "one more at the end": ("ab", "abc", [("label_added", "c", False)]),
    "another order": ("ab", "ba", [("labels_reordered", "labels", True)]),
    "others": ("a", "b", [("label_removed", "a", True), ("label_added", "b", False)]),
}


@pytest.mark.parametrize(("before", "after", "expected"), LABELS.values(), ids=LABELS)
def test_labels_may_become_more(before, after, expected):
    """Who knows a label must not miss it, nor find it in another place."""
    told = found(interface(labels=tuple(before)), interface(labels=tuple(after)))
    assert told == [("task", *each) for each in expected]


TENSORS = {
    "an embedding of another dimension": (
        ((), [tensor(-1, 384)]),
        ((), [tensor(-1, 768)]),
        [("output_shape_changed", "x", True)],
    ),
    "an output of one size": (((), [tensor(-1)]), ((), [tensor(3)]), [("output_shape_changed", "x", False)]),
    "an output of any size": (((), [tensor(3)]), ((), [tensor(-1)]), [("output_shape_changed", "x", True)]),
    "an input of any size": (([tensor(3)], ()), ([tensor(-1)], ()), [("input_shape_changed", "x", False)]),
    "another rank": (([tensor(3)], ()), ([tensor(3, 1)], ()), [("input_shape_changed", "x", True)]),
    "another datatype": (
        ([tensor(3)], ()),
        ([tensor(3, datatype="INT64")], ()),
        [("input_datatype_changed", "x", True)],
    ),
    "another name": (([tensor(3)], ()), ([tensor(3, name="y")], ()), [("input_renamed", "x", True)]),
    "one more output": (
        ((), [tensor(3)]),
        ((), [tensor(3), tensor(3, name="y")]),
        [("output_added", "y", False)],
    ),
}


@pytest.mark.parametrize(("before", "after", "expected"), TENSORS.values(), ids=TENSORS)
def test_the_graphs_own_tensors_count_too(before, after, expected):
    """They are what `/v2` takes and returns."""
    told = found(interface(tensors=before), interface(tensors=after))
    assert told == [("tensors", *each) for each in expected]


def test_another_task_breaks_everything():
    """Whatever its signature is."""
    assert found(interface(), interface(task="embedding")) == [("task", "task_changed", "task", True)]


def test_a_difference_says_itself_in_one_line():
    """With what it was and what it is."""
    (renamed,) = differences(interface(inputs=[text()]), interface(inputs=[text(name="b")]))
    assert str(renamed) == "task: input renamed: text → b"
    (shape,) = differences(interface(tensors=((), [tensor(-1, 2)])), interface(tensors=((), [tensor(-1, 3)])))
    assert str(shape) == "tensors: output shape changed: x: -1, 2 → -1, 3"
    (gone,) = differences(interface(labels=("a",)), interface())
    assert str(gone) == "task: label removed: a"


SPECS = st.lists(
    st.builds(
        lambda name, size, kind: tensor(size, name=name, datatype=kind),
        st.sampled_from("xyz"),
        st.sampled_from([-1, 2, 3]),
        st.sampled_from(["FP32", "INT64"]),
    ),
    max_size=3,
    unique_by=lambda spec: spec["name"],
)
INTERFACES = st.builds(
    lambda inputs, outputs, labels: interface(tensors=(inputs, outputs), labels=tuple(labels)),
    SPECS,
    SPECS,
    st.lists(st.sampled_from("abc"), unique=True),
)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(INTERFACES, INTERFACES, INTERFACES)
def test_compatible_steps_make_a_compatible_way(one, two, three):
    """Nothing differs from itself, and two steps that break nothing break nothing together."""

    def breaks(before, after):
        return any(each.breaking for each in differences(before, after))

    assert differences(one, one) == []
    if not breaks(one, two) and not breaks(two, three):
        assert not breaks(one, three)
