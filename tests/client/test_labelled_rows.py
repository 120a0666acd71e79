"""Labelled rows from wherever people have them; what cannot be learnt from is named before it is sent."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

from maas_client import _labelled_rows, errors
from maas_client._labelled_rows import Meaning
from maas_client.types import LabelledRows

PAIRS = [("A lovely day.", "up"), ("An awful day.", "down")]
INPUTS = [{"text": text} for text, _ in PAIRS]
TARGETS = ["up", "down"]


def read(source, **meaning):
    rows = _labelled_rows.read(source, Meaning(**meaning), part="train")
    return rows.inputs, rows.targets


def written(folder, name, content):
    (folder / name).write_text(content, encoding="utf-8", newline="")
    return folder / name


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,label\r\nA lovely day.,up\r\nAn awful day.,down\r\n"),
        ("a.CSV", "\ufefflabel,text,other\nup,A lovely day.,1\ndown,An awful day.,2\n"),
        ("a.tsv", "text\tlabel\nA lovely day.\tup\nAn awful day.\tdown\n"),
        (
            "a.jsonl",
            (
                '{"text": "A lovely day.", "label": "up"}\n\n'
                '{"text": "An awful day.", "label": "down", "x": 1}\n'
            ),
        ),
    ],
)
def test_files_hold_what_pairs_hold(tmp_path, name, content):
    """By their endings, with or without a byte order mark and further columns."""
    path = written(tmp_path, name, content)
    assert read(path) == read(str(path)) == read(PAIRS) == (INPUTS, TARGETS)


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_frames_hold_what_pairs_hold(library):
    """Of either library; whole numbers and booleans are labels by their texts."""
    frame = library.DataFrame({"said": ["A lovely day.", "An awful day."], "is": [1, 0]})
    assert read(frame, text="said", label="is") == (INPUTS, ["1", "0"])
    frame = library.DataFrame({"x": [1.5, 2.5], "n": [1, 2], "label": [True, False]})
    assert read(frame) == ([{"x": 1.5, "n": 1}, {"x": 2.5, "n": 2}], ["True", "False"])


def test_parquet_is_read_with_what_is_installed(tmp_path, monkeypatch):
    """With polars where pandas lacks what it needs; without either the message says what to install."""
    path = tmp_path / "a.parquet"
    pl.DataFrame({"text": [text for text, _ in PAIRS], "label": TARGETS}).write_parquet(path)
    assert read(path) == (INPUTS, TARGETS)
    path.write_bytes(b"PAR1 it is not")
    with pytest.raises(errors.ArgumentError, match=r"'a.parquet' cannot be read as parquet"):
        read(path)
    for library in ("pandas", "polars"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ModuleNotFoundError, match="pip install polars"):
        read(path)


def test_columns_of_a_csv_file_are_numbers(tmp_path):
    """And so is the label with the loss `mse`; all but the label's where nothing else is said."""
    path = written(tmp_path, "a.csv", "x,y,label\n1,2.5,3\n-1e3,0,4.5\n")
    assert read(path, loss="mse") == ([{"x": 1.0, "y": 2.5}, {"x": -1000.0, "y": 0.0}], [3.0, 4.5])
    assert read(path, columns=["y"], label="x") == ([{"y": 2.5}, {"y": 0.0}], ["1", "-1e3"])


def test_scalars_of_numpy_are_numbers():
    """As a row of an array has them."""
    rows = [
        ({"x": value}, target) for value, target in zip(np.float32([1, 2]), np.int64([0, 1]), strict=True)
    ]
    inputs, targets = read(rows)
    assert json.dumps(inputs) == '[{"x": 1.0}, {"x": 2.0}]'
    assert targets == ["0", "1"]


NAN = float("nan")


@pytest.mark.parametrize(
    ("source", "meaning", "told"),
    [
        ([], {}, "train has no rows"),
        ("A lovely day.", {}, "none of the endings .csv, .tsv, .jsonl"),
        ({"text": "a"}, {}, "train is a dict; pass pairs"),
        (b"text,label", {}, "train is a bytes"),
        (3, {}, "train is a int"),
        ([*PAIRS, "ab"], {}, "row 2 is no pair"),
        ([*PAIRS, ("a",)], {}, "row 2 is no pair"),
        ([*PAIRS, (None, "up")], {}, "train row 2: the text is missing"),
        ([*PAIRS, (1.5, "up")], {}, "train row 2: the text is '1.5', a float"),
        ([*PAIRS, ("\ud800", "up")], {}, "train row 2: the text holds half of a surrogate"),
        ([*PAIRS, ("a", "")], {}, "train row 2: the label is missing"),
        ([*PAIRS, ("a", None)], {}, "train row 2: the label is missing"),
        ([*PAIRS, ("a", 1.5)], {}, "train row 2: the label is '1.5', a float, expected a string; numbers go"),
        ([*PAIRS, ("a", "x" * 201)], {}, "1 to 200 printable characters"),
        ([*PAIRS, ("a", "x\n")], {}, "train row 2: the label 'x\\n' is none"),
        ([*PAIRS, ({"x": 1}, "up")], {}, "train row 2: it has the inputs x, and the first row has text"),
        ([({"x": 1}, "a"), ({"x": NAN}, "b")], {}, "train row 1: the column 'x' is nan, expected a finite"),
        ([({"x": 1}, "a"), ({"x": True}, "b")], {}, "train row 1: the column 'x' is 'True', a bool"),
        ([({"x": 1}, 1.0), ({"x": 2}, "b")], {"loss": "mse"}, "train row 1: the label is 'b', a str"),
        ([({"x": 1}, 1.0), ({"x": 2}, NAN)], {"loss": "mse"}, "the label is nan, expected a finite number"),
        ([("a", None)] * 5, {}, "; and 2 rows more; nothing was sent"),
        (LabelledRows(inputs=INPUTS, targets=["up"]), {}, "2 inputs and 1 targets"),
        (pd.DataFrame({"text": ["a"]}), {}, "no column 'label', its columns are text; say which it is with"),
        (pd.DataFrame({"label": ["a"]}), {}, "has the column 'label' alone"),
        (pd.DataFrame(), {}, "no columns"),
        (pd.DataFrame({"x": [1.0], "label": ["a"]}), {"text": "y"}, "no column 'y'"),
        (pd.DataFrame({"x": [1.0], "label": ["a"]}), {"columns": "x"}, "takes the names of the columns"),
        (pd.DataFrame({"x": [1.0], "label": ["a"]}), {"columns": ["x"], "text": "x"}, "give one of the two"),
        (pd.DataFrame({"text": ["a", None], "label": ["a", "b"]}), {}, "train row 1: the text is missing"),
        (pl.LazyFrame({"text": ["a"]}), {}, "collect() it first"),
    ],
)
def test_what_cannot_be_learnt_from_is_named(source, meaning, told):
    """By the row, and by what was expected instead."""
    with pytest.raises(errors.ArgumentError, match=re.escape(told)):
        read(source, **meaning)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "text,label\na,b,c\n", "line 2 of a.csv has 3 cells and the head has 2"),
        ("a.csv", 'text,label\n"a" b,c\n', "line 2 of a.csv is no CSV"),
        ("a.csv", "text,label\nfine,up\n\nalone\n", "train line 4 of a.csv: the label is missing"),
        ("a.csv", "x,label\n1,up\none,down\n", "train line 3 of a.csv: the column 'x' is 'one', a str"),
        ("a.jsonl", '{"text": "a"\n', "line 1 of a.jsonl is no JSON"),
        ("a.jsonl", '{"text": "a", "label": "b"}\n[1]\n', "line 2 of a.jsonl is no JSON object"),
        (
            "a.ndjson",
            '{"text": "a", "label": "b"}\n{"text": 7, "label": "b"}',
            "line 2 of a.ndjson: the text is",
        ),
        ("a.csv", "", "'a.csv' is empty"),
        ("a.csv", '"text"x,label', "the head of a.csv is no CSV"),
        ("a.csv", "text,label,text\n", "the head of a.csv names the column 'text' twice"),
        ("a.txt", "", "'a.txt' has none of the endings"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path, name, content, told):
    """With its number in the file."""
    with pytest.raises(errors.ArgumentError, match=told):
        read(written(tmp_path, name, content))


@pytest.mark.parametrize("name", ["no.csv", "no.parquet", "no.jsonl"])
def test_a_file_that_is_not_there_is_named(tmp_path, name):
    """With its path."""
    with pytest.raises(errors.ArgumentError, match=rf"{name}' cannot be read"):
        read(tmp_path / name)


def test_a_file_in_another_encoding_is_named(tmp_path):
    """Instead of letters gone wrong in a model."""
    (tmp_path / "a.csv").write_bytes("text,label\nschön,up\n".encode("latin-1"))
    with pytest.raises(errors.ArgumentError, match="is not UTF-8"):
        read(tmp_path / "a.csv")
