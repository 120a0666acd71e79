"""The rows that stand for columns left out, as packages ship them."""

import json

import numpy as np
import pytest
from onnx import TensorProto, helper

from maas_client._package import open_package, pack
from maas_client.errors import PackageError
from reference_server.errors import Unprocessable
from reference_server.runtime.execution_providers import CPU
from reference_server.runtime.sessions import OnnxRunner
from reference_server.runtime.tasks import build_task


@pytest.fixture
def package(package_writer, onnx_model):
    """Return a function that writes a package over a whole number and a kind, with a background."""
    nodes = [helper.make_node("Cast", ["age"], ["y"], to=TensorProto.FLOAT)]
    graph = onnx_model(
        nodes,
        [
            helper.make_tensor_value_info("age", TensorProto.INT64, ["batch"]),
            helper.make_tensor_value_info("kind", TensorProto.STRING, ["batch"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch"])],
    )

    def write(background, *, named="background.json"):
        columns = [{"name": "age"}, {"name": "kind", "type": "string", "categories": ["a", "b"]}]
        folder = package_writer(
            graph,
            task="tabular-regression",
            labels=[],
            preprocessing={"columns": columns, **({"background": named} if named else {})},
            example={"age": 1, "kind": "a"},
        )
        if background is not None:
            content = background if isinstance(background, str) else json.dumps(background)
            (folder / "background.json").write_text(content, encoding="utf-8")
        return folder

    return write


def load(folder):
    with open_package(folder) as package:
        return build_task(package, OnnxRunner(package.read("model.onnx"), provider=CPU))


ROWS = [{"age": 3, "kind": "a"}, {"age": 6, "kind": "b"}]


def test_a_background_is_read_with_its_weights(package):
    """They add up to 1; without any, all rows count alike."""
    background = load(package({"rows": ROWS, "weights": [1, 3]})).background
    assert background.weights.tolist() == [0.25, 0.75]
    assert background.mean().batch.columns == {"age": [5], "kind": ["b"]}
    assert load(package({"rows": ROWS})).background.weights.tolist() == [0.5, 0.5]
    assert load(package(None, named=None)).background is None


@pytest.mark.parametrize(
    ("background", "said"),
    [
        ("{", "JSON"),
        ({"rows": []}, "rows"),
        ({"rows": ROWS * 51}, "rows"),
        ({"rows": ROWS, "weights": [1]}, "2 rows and 1 weights"),
        ({"rows": ROWS, "weights": [1, 0]}, "weights"),
        ({"rows": ROWS, "weights": [1, -1]}, "weights"),
        ({"rows": ROWS, "colour": 1}, "colour"),
        ({"rows": [{"age": 3}]}, r"rows\[0\]\.kind"),
        ({"rows": [{"age": 3, "kind": "c"}]}, r"rows\[0\]\.kind"),
        ({"rows": [{"age": "3", "kind": "a"}]}, r"rows\[0\]\.age"),
        ({"rows": [{"age": 3.5, "kind": "a"}]}, "whole numbers"),
    ],
)
def test_a_background_that_does_not_fit_is_refused(package, background, said):
    """When the package is published, by the row and the column."""
    with pytest.raises(Unprocessable, match=said) as caught:
        load(package(background))
    assert caught.value.code in ("model_rejected", "wrong_type")


@pytest.mark.parametrize(
    ("background", "named"),
    [(None, "background.json"), ({"rows": ROWS}, None), ({"rows": ROWS}, "other.json")],
)
def test_the_file_and_its_name_go_together(package, background, named):
    """One without the other does nothing."""
    with (
        pytest.raises(PackageError, match=r"background\.json"),
        open_package(package(background, named=named)),
    ):
        pass


def test_a_task_without_columns_has_no_background(package_writer, text_graph):
    """It would do nothing there."""
    folder = package_writer(text_graph(), preprocessing={"background": "background.json"})
    (folder / "background.json").write_text(json.dumps({"rows": [{"text": "a"}]}), encoding="utf-8")
    with pytest.raises(Unprocessable, match="does nothing for the task"):
        load(folder)


def test_a_large_background_is_refused_unread(text_package):
    """A mebibyte holds any hundred rows."""
    files = {each.name: each.read_bytes() for each in text_package.iterdir()}
    with pytest.raises(PackageError, match="larger than"):
        pack({**files, "background.json": b" " * (2**20 + 1)})


def test_the_mean_of_numbers_is_weighted(package):
    """Those that are not whole stay so."""
    background = load(package({"rows": ROWS, "weights": [2, 1]})).background
    assert background.mean().batch.columns == {"age": [4], "kind": ["a"]}
    assert np.isclose(background.weights.sum(), 1)
