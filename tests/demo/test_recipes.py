import dataclasses
import hashlib
import io
import math
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maas_client._package import open_package
from reference_server.demo import recipes
from reference_server.demo.data import Sentences
from reference_server.evaluation import metrics

CLOSE = 1e-5
ODD = (
    "",
    " \t\n",
    "...",
    "?!?! ;-) --",
    "İSTANBUL İi",
    "Straße GROẞ ß",
    "😀🎉 GREAT 👍🏽 👩‍👩‍👧",
    "cafe\u0301 café",
    "нет, 不好 नमस्ते",
    "\x02 good \x03",
    "a\x00b",
    "good",
    "zzzzzz qqqqqq",
    "not good at all, " * 600,
    "x" * 10_000,
)
BUILD_AGAIN = """\
import hashlib
from reference_server.demo import data, recipes
for built in recipes.build_all(data.own_sentences(), log=lambda line: None):
    print(hashlib.sha256(built.package).hexdigest())
"""


def sides(sentences):
    return [{sentences.texts[row] for row in rows} for rows in recipes.split(sentences)]


def reordered(sentences, order):
    texts, labels = zip(*((sentences.texts[row], sentences.labels[row]) for row in order), strict=True)
    return dataclasses.replace(sentences, texts=texts, labels=labels)


@pytest.fixture
def negated(cached_negations):
    """Return sentences in which only pairs of words tell the label."""
    from reference_server.demo import data

    return data.sentences(log=pytest.fail)


@pytest.fixture(scope="module")
def run(trained, load):
    """Return what the exported graph does: from texts to probabilities."""
    return load(trained.graph())


class TestSplit:
    def test_every_row_is_on_one_side_and_a_fifth_is_held_out(self, own):
        """Training and held-out rows are all rows, without a common one."""
        train, held_out = recipes.split(own)
        np.testing.assert_array_equal(np.sort(np.concatenate([train, held_out])), np.arange(len(own.texts)))
        assert len(held_out) == round(0.2 * len(own.texts))

    @given(st.lists(st.tuples(st.sampled_from("abcdefghijkl"), st.integers(0, 1)), min_size=5, max_size=60))
    @settings(deadline=None)
    def test_equal_texts_are_on_one_side(self, rows):
        """However often a text stands there and however it is labelled, it is not in both parts."""
        texts, labels = zip(*rows, strict=True)
        train, held_out = sides(Sentences("n", "MIT", texts, labels))
        assert train.isdisjoint(held_out)
        assert len(held_out) == round(0.2 * len(set(texts)))

    def test_the_seed_fixes_it(self, own, monkeypatch):
        """It is the same each time; another seed is another split."""
        first = sides(own)
        assert sides(own) == first
        monkeypatch.setattr(recipes, "_SPLIT_SEED", recipes._SPLIT_SEED + 1)
        assert sides(own) != first

    def test_the_order_of_the_sentences_does_not_matter(self, own):
        """The same texts are held out however the data set is sorted."""
        backwards = reordered(own, reversed(range(len(own.texts))))
        assert sides(backwards) == sides(own)


class TestTraining:
    def test_held_out_rows_teach_nothing(self, own, trained):
        """With other texts and labels in every held-out row, the graph is the same to the byte."""
        train, held_out = recipes.split(own)
        texts, labels = list(own.texts), list(own.labels)
        for row in held_out:
            texts[row], labels[row] = "zebra quagga okapi", 1 - labels[row]
        other = dataclasses.replace(own, texts=tuple(texts), labels=tuple(labels))
        recipe = next(recipe for recipe in recipes.RECIPES if recipe.kinds == trained.kinds)
        assert recipes.train(recipe, other, train).graph() == trained.graph()
        assert "zebra" in recipes.train(recipe, other, held_out).known["word_1"]

    def test_it_learns_what_it_was_taught(self, own, trained):
        """On its training rows it is nearly always right, so it has learned something."""
        train, _ = recipes.split(own)
        probabilities = trained.probabilities([own.texts[row] for row in train])
        assert metrics.accuracy(probabilities.argmax(axis=1), np.array(own.labels)[train]) > 0.95

    def test_rarer_features_count_more(self, trained, own):
        """A feature's value is ln((1 + rows) / (1 + rows with it)) + 1, and 0 for what is unknown."""
        rows = len(recipes.split(own)[0])
        counts = [count for kind in trained.kinds for count in trained.known[kind.name].values()]
        expected = [0.0, *(math.log((1 + rows) / (1 + count)) + 1 for count in counts)]
        np.testing.assert_allclose(trained.values, expected, rtol=1e-6)


class TestGraph:
    def test_it_agrees_with_the_trainer_on_our_own_sentences(self, trained, run, own):
        """The served probabilities are the trained ones, to 1e-5."""
        expected = trained.probabilities(own.texts)
        assert np.ptp(expected[:, 1]) > 0.5
        np.testing.assert_allclose(run(own.texts), expected, rtol=0, atol=CLOSE)

    @pytest.mark.parametrize("text", ODD, ids=lambda text: ascii(text[:12]))
    def test_it_agrees_with_the_trainer_on_an_odd_text(self, trained, run, text):
        """Alone in its batch, whatever a text is made of."""
        np.testing.assert_allclose(run([text]), trained.probabilities([text]), rtol=0, atol=CLOSE)

    def test_it_agrees_with_the_trainer_on_a_mixed_batch(self, trained, run):
        """Odd texts side by side pad each other, and are no different for it."""
        together = run(ODD)
        np.testing.assert_allclose(together, trained.probabilities(ODD), rtol=0, atol=CLOSE)
        alone = np.concatenate([run([text]) for text in ODD])
        np.testing.assert_allclose(together, alone, rtol=0, atol=CLOSE)

    def test_texts_without_features_get_the_bias(self, trained, run):
        """A batch of nothing but empty texts is answered, each with what holds before a word is read."""
        odds = np.exp(trained.model.bias)
        expected = np.tile(odds / odds.sum(), (3, 1))
        for texts in (["", "", ""], ["", "...", " "]):
            np.testing.assert_allclose(run(texts), expected, rtol=0, atol=CLOSE)

    def test_capitals_do_not_matter(self, run):
        """The graph lowers them by itself."""
        np.testing.assert_array_equal(run(["I LOVE this LAMP"]), run(["i love this lamp"]))

    @given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
    @settings(deadline=None, max_examples=30)
    def test_it_agrees_with_the_trainer_on_any_text(self, trained, run, texts):
        """Any Unicode text, in any company, gives the trainer's probabilities, and they sum to 1."""
        found = run(texts)
        np.testing.assert_allclose(found, trained.probabilities(texts), rtol=0, atol=CLOSE)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=CLOSE)

    def test_it_is_a_valid_graph_of_strings(self, trained):
        """ONNX's checker has nothing to say; one input of strings, one output of two floats per text."""
        model = onnx.load_from_string(trained.graph())
        onnx.checker.check_model(model)
        (text,), (probabilities,) = model.graph.input, model.graph.output
        assert (text.name, text.type.tensor_type.elem_type) == ("text", onnx.TensorProto.STRING)
        shape = probabilities.type.tensor_type.shape.dim
        assert (probabilities.name, shape[0].dim_param, shape[1].dim_value) == ("probabilities", "batch", 2)


class TestPackages:
    def test_each_recipe_is_one_package(self, built):
        """Both are built, in order, the first without a word about `default`."""
        assert [one.file for one in built] == ["v1.zip", "v2.zip"]
        assert built[0].default_note is None

    def test_the_manifest_says_what_was_measured(self, built, own):
        """Every metric stands in the package with its data set, its rows and how they were chosen."""
        for one in built:
            with open_package(io.BytesIO(one.package)) as package:
                stated = package.manifest.metrics
                assert package.labels == ("negative", "positive")
            assert {metric.name: metric.value for metric in stated} == one.measured
            assert set(one.measured) == {"accuracy", "macro_f1", "cross_entropy"}
            assert {metric.dataset for metric in stated} == {own.name}
            assert {metric.rows for metric in stated} == {len(recipes.split(own)[1])}
            assert {metric.split for metric in stated} == {
                "held out, 20%, seed 2014, equal texts on one side"
            }

    def test_what_was_measured_is_what_the_packed_graph_does(self, built, own, load):
        """The graph out of the zip, run over the held-out sentences, earns the stated figures."""
        held_out = recipes.split(own)[1]
        texts, targets = [own.texts[row] for row in held_out], np.array(own.labels)[held_out]
        for one in built:
            with open_package(io.BytesIO(one.package)) as package:
                probabilities = load(package.read("model.onnx"))(texts)
            again = metrics.of_probabilities(probabilities, targets)
            assert again["accuracy"] == one.measured["accuracy"]
            assert again["macro_f1"] == one.measured["macro_f1"]
            assert again["cross_entropy"] == pytest.approx(one.measured["cross_entropy"], abs=CLOSE)

    def test_held_out_labels_change_the_figures_and_nothing_else(self, built, own):
        """Where every held-out label is turned round, right becomes wrong and the graphs stay."""
        labels = list(own.labels)
        for row in recipes.split(own)[1]:
            labels[row] = 1 - labels[row]
        turned = recipes.build_all(dataclasses.replace(own, labels=tuple(labels)), log=lambda line: None)
        for one, other in zip(built, turned, strict=True):
            assert other.measured["accuracy"] == pytest.approx(1 - one.measured["accuracy"])
            graphs = set()
            for zipped in (one.package, other.package):
                with open_package(io.BytesIO(zipped)) as package:
                    graphs.add(package.read("model.onnx"))
            assert len(graphs) == 1

    def test_the_notes_tell_the_accuracy(self, built, own):
        """What is published says in a sentence how good it is."""
        rows = len(recipes.split(own)[1])
        for one in built:
            assert f"{one.measured['accuracy']:.1%} of {rows} held-out sentences are right" in one.notes

    def test_training_again_gives_the_same_bytes(self, built):
        """In another process, with other hashes and one thread, the packages are the same to the byte."""
        environment = {**os.environ, "PYTHONHASHSEED": "12345", "OMP_NUM_THREADS": "1"}
        output = subprocess.run(
            [sys.executable, "-c", BUILD_AGAIN], env=environment, check=True, capture_output=True, timeout=60
        ).stdout
        assert output.decode().split() == [hashlib.sha256(one.package).hexdigest() for one in built]

    def test_a_better_version_says_why_it_becomes_the_default(self, negated, said):
        """Where pairs of words decide, the second version is better, and its note gives both figures."""
        first, second = recipes.build_all(negated, log=said.append)
        assert second.measured["accuracy"] > first.measured["accuracy"] + 0.2
        assert second.default_note == (
            f"{second.measured['accuracy']:.1%} of the held-out sentences are right, "
            f"{first.measured['accuracy']:.1%} before."
        )
        assert any("Training on single words of 128 sentences" in line for line in said)

    def test_a_version_that_is_not_better_does_not_become_the_default(self):
        """Where single words tell all, both versions are always right: `default` stays."""
        texts = tuple(f"room {row} was {'kind' if row % 2 else 'cold'}" for row in range(60))
        plain = Sentences("n", "MIT", texts, tuple(row % 2 for row in range(60)))
        first, second = recipes.build_all(plain, log=lambda line: None)
        assert first.measured["accuracy"] == second.measured["accuracy"] == 1
        assert second.default_note is None
