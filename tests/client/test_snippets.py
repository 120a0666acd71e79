import ast
import json
import shlex
import subprocess
import sys

import pytest

from maas_client._snippets import snippets

URL = "https://models.example.com"
EXAMPLES = [
    {"text": "a good day"},
    {"text": 'it\'s "quoted", $HOME `id` \\ and\nmore\té😀'},
    {"class": "reserved", "x": 1},
    {"version": 3, "text": "clashes"},
    {"sepal length": 5.1, "known": True, "none": None},
    {"values": [[1.5, -2.0], [0.0, 1e-9]]},
]


def called(python, method="predict"):
    """Return the arguments of the call in a program, read and not run."""
    calls = [node for node in ast.walk(ast.parse(python)) if isinstance(node, ast.Call)]
    (call,) = [each for each in calls if getattr(each.func, "attr", "") == method]
    given = {each.arg: ast.literal_eval(each.value) for each in call.keywords}
    return ast.literal_eval(call.args[0]), given.pop("inputs", given)


@pytest.mark.parametrize("example", EXAMPLES, ids=repr)
def test_the_program_calls_the_model_with_its_example(example):
    """Whatever the inputs are called and hold, the program is Python and passes them."""
    assert called(snippets("ada~words", example, URL).python) == ("ada~words", example)


@pytest.mark.parametrize("example", EXAMPLES, ids=repr)
def test_the_command_sends_the_example(example):
    """A shell reads the command as one call with the example as its body."""
    words = shlex.split(snippets("ada~words", example, URL).curl.replace("\\\n", " "))
    assert words[:2] == ["curl", f"{URL}/v1/models/ada~words/predict"]
    assert json.loads(words[words.index("-d") + 1]) == example


def test_a_version_is_called_by_its_number():
    """Both snippets name it, and a large example is the version's own."""
    small, large = ({"text": "a" * size} for size in (1, 5000))
    assert called(snippets("words", small, URL, version=3).python) == ("words", {"version": 3, **small})
    assert f"{URL}/v1/models/words/versions/3/predict" in snippets("words", small, URL, version=3).curl
    found = snippets("words", large, URL, version=3)
    assert "client.model('words').versions.get(3).manifest.example" in found.python
    assert '["manifest"]["example"]' in found.curl


def test_a_large_example_is_fetched():
    """A picture does not stand in a line of a program; both snippets ask the catalogue for it."""
    found = snippets("words", {"image": "A" * 5000}, URL)
    assert "client.models.get('words').example" in found.python
    ast.parse(found.python)
    assert max(map(len, (found.python, found.curl))) < 600
    take = found.curl.splitlines()[1].strip().removesuffix("\\").strip().removeprefix("| ")
    command = shlex.split(take)
    assert command[0] == "python3"
    done = subprocess.run(
        [sys.executable, *command[1:]],
        input='{"example": {"image": "é"}}',
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"image": "é"}


@pytest.mark.parametrize("example", [*EXAMPLES, {"target": "clashes with an option"}], ids=repr)
def test_the_same_explained(example):
    """Both snippets ask why, with the example as the inputs; of what cannot be explained there are none."""
    found = snippets("ada~words", example, URL, explained="text-classification")
    assert called(found.explain_python, "explain") == ("ada~words", example)
    words = shlex.split(found.explain_curl.replace("\\\n", " "))
    assert words[:2] == ["curl", f"{URL}/v1/models/ada~words/explain"]
    assert json.loads(words[words.index("-d") + 1]) == {"inputs": example}
    assert (found.python, found.curl) == (
        snippets("ada~words", example, URL).python,
        snippets("ada~words", example, URL).curl,
    )
    assert snippets("ada~words", example, URL).explain_python is None


def test_an_embedding_is_explained_by_what_it_is_compared_with():
    """Without that there is nothing to explain."""
    found = snippets("words", {"text": "a good day"}, URL, version=2, explained="embedding")
    compared = {"text": "another text to compare with"}
    assert called(found.explain_python, "explain")[1] == {
        "version": 2,
        "text": "a good day",
        "against": compared,
    }
    assert json.loads(shlex.split(found.explain_curl.replace("\\\n", " "))[-1]) == {
        "inputs": {"text": "a good day"},
        "against": compared,
    }


def test_a_large_example_is_fetched_and_explained():
    """The command puts what it fetched where explanations take it."""
    found = snippets("words", {"image": "A" * 5000}, URL, version=3, explained="image-classification")
    assert "explain('words', version=3, inputs=example)" in found.explain_python
    take = found.explain_curl.splitlines()[1].strip().removesuffix("\\").strip().removeprefix("| ")
    done = subprocess.run(
        [sys.executable, *shlex.split(take)[1:]],
        input='{"manifest": {"example": {"image": "é"}}}',
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"inputs": {"image": "é"}}
