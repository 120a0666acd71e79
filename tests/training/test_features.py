"""Features as the trainer has them and as the graph computes them: one and the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from sklearn.utils import murmurhash3_32

from maas_client.types import Postprocessing
from reference_server.errors import Unprocessable
from reference_server.training.features import Columns, Embeddings, Ngrams, buckets_for, ids_of_texts
from reference_server.training.heads import Head, Scale
from reference_server.training.linear import LinearClassifier
from reference_server.training.ngrams import KINDS, Kind, hashed_ids

BUCKETS = 2**16
TEXTS = ["A good day!", "", "bad", "...", "Ёлка, don't :-)", "a good good day " * 40, "\x02", "x"]


def run(graph, **feeds):
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


def ids(kind, *texts):
    return [row.tolist() for part in hashed_ids([kind], BUCKETS, texts) for row in part]


def bucket(string, seed=0):
    return murmurhash3_32(string.encode(), seed=seed, positive=True) % BUCKETS + 1


def a_head(features, classes, *, is_classifier=True, size=1.0):
    random = np.random.default_rng(3)
    model = LinearClassifier(features, classes)
    model.weights = random.normal(scale=size, size=(classes, features))
    model.bias = random.normal(size=classes)
    return Head.of(model, is_classifier=is_classifier)


def test_ids_are_the_murmur_hash_of_the_strings():
    """As scikit-learn's own hashing has it; 0 stays free for what is no feature."""
    assert ids(Kind("word", 1), "Good day") == [[bucket("good"), bucket("day")]]
    pairs = ["\x02 good", "good day", "day \x03"]
    assert ids(Kind("word", 2), "Good day") == [[bucket(pair) for pair in pairs]]
    assert ids(Kind("character", 4), "abc") == [[bucket("\x02abc"), bucket("abc\x03")]]


def test_each_kind_hashes_by_itself():
    """A word and a run of characters of the same letters are two features."""
    (found,) = next(hashed_ids([Kind("word", 1), Kind("character", 4)], BUCKETS, ["good"]))
    assert found.tolist() == [
        bucket("good"),
        bucket("\x02goo", seed=1),
        bucket("good", seed=1),
        bucket("ood\x03", seed=1),
    ]


@given(st.lists(st.text(max_size=12), min_size=1, max_size=6))
@settings(deadline=None, max_examples=4)
def test_a_texts_ids_are_the_same_in_any_company(texts):
    """Padding is no feature, and an empty text has none, alone or among others."""
    alone = [each for text in texts for part in hashed_ids(KINDS, BUCKETS, [text]) for each in part]
    together = [each for part in hashed_ids(KINDS, BUCKETS, texts) for each in part]
    assert [each.tolist() for each in alone] == [each.tolist() for each in together]
    for text, found in zip(texts, alone, strict=True):
        assert text or not len(found)


def test_what_training_has_not_seen_counts_nothing():
    """Neither by itself nor in the length that a text is scaled to."""
    seen = ids_of_texts(["good day", "good fun"], BUCKETS, each=lambda _: None)
    recipe = Ngrams.learnt(seen, BUCKETS)
    other = ids_of_texts(["zzzz qqqq", "good day zzzz"], BUCKETS, each=lambda _: None)
    bags = recipe.features(other)
    assert not len(bags.take(np.array([0])).ids)
    assert (bags.values[bags.rows == 1] ** 2).sum() == pytest.approx(1)
    # A word of one row of two counts for more than one of both.
    assert recipe.values[bucket("day")] > recipe.values[bucket("good")] == pytest.approx(1)


@pytest.mark.parametrize("classes", [2, 19])
def test_the_graph_of_ngrams_gives_the_trainers_probabilities(classes):
    """On every awkward text, alone and together, for few classes and for several blocks of them."""
    texts = ids_of_texts(TEXTS, BUCKETS, each=lambda _: None)
    recipe = Ngrams.learnt(texts[:6], BUCKETS)
    head = a_head(len(recipe.known), classes, size=3.0)
    expected = head.outputs(recipe.features(texts))
    graph = recipe.graph(head)
    together = run(graph, text=np.array(TEXTS, object))
    np.testing.assert_allclose(together, expected, atol=1e-5)
    for row, text in enumerate(TEXTS):
        np.testing.assert_allclose(run(graph, text=np.array([text], object))[0], expected[row], atol=1e-5)


def test_no_text_of_the_training_is_in_the_graph():
    """Of words the graph knows hashes alone."""
    texts = ids_of_texts(["Ludwigshafen Mannheim"], BUCKETS, each=lambda _: None)
    recipe = Ngrams.learnt(texts, BUCKETS)
    graph = recipe.graph(a_head(len(recipe.known), 2))
    assert b"ludwigs" not in graph.lower()
    assert b"mannheim" not in graph.lower()


def test_many_classes_have_fewer_buckets():
    """The table of weights stays within 64 MB."""
    assert buckets_for(2) == 2**18
    assert all(buckets_for(classes) * classes <= 2**24 for classes in (3, 64, 65, 1000))


def test_texts_beyond_the_limit_are_refused_before_anything_is_made_of_them():
    """With what to do instead."""
    with pytest.raises(Unprocessable, match="take fewer rows, or a base"):
        ids_of_texts(["x" * 2**20] * 17, BUCKETS, each=lambda _: pytest.fail("it has begun"))


@pytest.fixture
def table():
    """Columns of very different sizes, one far from zero, one that is always the same."""
    random = np.random.default_rng(0)
    rows = random.normal([2020.0, 0.0, 1e-4, 7.1], [5.0, 1e6, 1e-5, 0.0], size=(300, 4))
    return rows.astype(np.float32)


@pytest.mark.parametrize("is_classifier", [True, False])
def test_the_graph_of_columns_gives_the_trainers_outputs(table, is_classifier):
    """To 1e-5, although a year is four hundred deviations from zero."""
    recipe = Columns(("year", "income", "dose", "same"), Scale.of(table))
    head = a_head(4, 3 if is_classifier else 1, is_classifier=is_classifier, size=2.0)
    scaled = recipe.features(table)
    np.testing.assert_allclose(scaled.values.std(axis=0), [1, 1, 1, 0], atol=1e-5)
    np.testing.assert_allclose(run(recipe.graph(head), columns=table), head.outputs(scaled), atol=1e-5)


def test_a_head_of_scaled_targets_is_brought_back_to_their_unit(table):
    """Its outputs are deviation times what they were, plus the mean."""
    rows = Columns(("a", "b", "c", "d"), Scale.of(table)).features(table)
    head = a_head(4, 1, is_classifier=False)
    np.testing.assert_allclose(
        head.scaled(100.0, 20.0).outputs(rows), head.outputs(rows) * 20 + 100, atol=1e-4
    )


def an_encoder(*, opset, ir_version, pooled=False, half=False):
    """Return an encoder of token ids: rows of a table, per token or their sum, as floats of any size."""
    random = np.random.default_rng(1)
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    weights = random.normal(size=(30, 6)).astype(np.float16 if half else np.float32)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["hidden"])]
    if pooled:
        axes = {"axes": [1]} if opset < 13 else {}
        nodes.append(
            helper.make_node("ReduceSum", ["hidden", *([] if axes else ["one"])], ["row"], keepdims=0, **axes)
        )
    # Names as an unlucky exporter might choose them.
    nodes.append(helper.make_node("Identity", ["hidden"], ["head/logits"]))
    shape = ["batch", 6] if pooled else ["batch", "tokens", 6]
    tokens = ["batch", "tokens"]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, tokens)
            for name in ("input_ids", "attention_mask")
        ],
        [
            helper.make_tensor_value_info("row" if pooled else "hidden", kind, shape),
            helper.make_tensor_value_info("head/logits", kind, ["batch", "tokens", 6]),
        ],
        [
            numpy_helper.from_array(weights, "table"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    return model.SerializeToString(), weights


@pytest.mark.parametrize(("opset", "ir_version"), [(11, 6), (13, 7), (17, 8), (20, 9)])
@pytest.mark.parametrize("pooling", ["none", "mean", "cls"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("half", [True, False])
def test_a_joined_graph_pools_scales_and_classifies(opset, ir_version, pooling, normalize, half):
    """As the embedding task and the trainer do, at the base's own versions, with every pooling."""
    base, weights = an_encoder(opset=opset, ir_version=ir_version, pooled=pooling == "none", half=half)
    ids = np.array([[3, 4, 5], [7, 0, 0]], np.int64)
    mask = np.array([[1, 1, 1], [1, 0, 0]], np.int64)
    hidden = weights.astype(np.float32)[ids]
    vectors = {
        "none": hidden.sum(axis=1),
        "cls": hidden[:, 0],
        "mean": (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True),
    }[pooling]
    if normalize:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    recipe = Embeddings(
        base,
        "row" if pooling == "none" else "hidden",
        Postprocessing(pooling=pooling, normalize=normalize),
        Scale.of(np.random.default_rng(2).normal(size=(9, 6)).astype(np.float32)),
    )
    head = a_head(6, 3)
    graph = recipe.graph(head)
    model = onnx.ModelProto.FromString(graph)
    assert (model.ir_version, [each.version for each in model.opset_import]) == (ir_version, [opset])
    assert [each.name for each in model.graph.output] == ["head1/probabilities"]
    onnx.checker.check_model(model, full_check=True)
    # Sums of halves are rounded by the base itself.
    np.testing.assert_allclose(
        run(graph, input_ids=ids, attention_mask=mask),
        head.outputs(recipe.features(vectors)),
        atol=5e-3 if half and pooling == "none" else 1e-5,
    )


def test_a_base_of_an_old_opset_is_refused_with_what_to_do():
    """Before anything is trained on it, its graph would not take a head."""
    base, _ = an_encoder(opset=8, ir_version=3)
    recipe = Embeddings(base, "hidden", Postprocessing(pooling="cls"), Scale.of(np.ones((2, 6), np.float32)))
    with pytest.raises(Unprocessable, match="opset 8; a head needs 9"):
        recipe.graph(a_head(6, 2))
