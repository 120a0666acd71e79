import json
import tomllib

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from reference_server.catalogue.file_types import features
from reference_server.catalogue.sources import MAGIKA, SourceError, Wheels
from reference_server.catalogue.table import find

MODEL = "magika/models/standard_v3_3"
CONFIG = {
    "beg_size": 4,
    "end_size": 4,
    "block_size": 8,
    "padding_token": 256,
    "medium_confidence_threshold": 0.5,
    "target_labels_space": ["python", "elf", "randomtxt"],
    "thresholds": {"elf": 0.9},
    "overwrite_map": {"randomtxt": "txt"},
}
KNOWN = {
    name: {"is_text": name != "elf", "description": f"{name} file"}
    for name in ("python", "elf", "randomtxt", "txt")
}


def graph():
    """Return scores that are the first three bytes in hundredths."""
    made = helper.make_graph(
        [
            helper.make_node("Slice", ["bytes", "from", "to", "axis"], ["three"]),
            helper.make_node("Cast", ["three"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["floats", "hundred"], ["target_label"]),
        ],
        "small",
        [helper.make_tensor_value_info("bytes", TensorProto.INT32, ["n", 8])],
        [helper.make_tensor_value_info("target_label", TensorProto.FLOAT, ["m", 3])],
        [
            *(
                helper.make_tensor(name, TensorProto.INT64, [1], [value])
                for name, value in (("from", 0), ("to", 3), ("axis", 1))
            ),
            helper.make_tensor("hundred", TensorProto.FLOAT, [1], [100.0]),
        ],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


@pytest.fixture
def build(tmp_path, make_wheel):
    """Return a function that builds the package from a small wheel."""

    def package(config=CONFIG):
        path = tmp_path / "wheel"
        members = {
            f"{MODEL}/model.onnx": graph().SerializeToString(),
            f"{MODEL}/config.min.json": json.dumps(config).encode(),
            "magika/config/content_types_kb.min.json": json.dumps(KNOWN).encode(),
        }
        path.write_bytes(make_wheel("magika", "1.0.3", members))
        entry = find("magika")
        return entry.build(entry, Wheels({MAGIKA: path}))

    return package


@pytest.mark.parametrize(
    ("scores", "label"),
    [
        ([60, 1, 1], "python"),  # sure enough
        ([1, 95, 1], "elf"),  # above its own threshold
        ([1, 60, 1], "unknown"),  # above the common one only, and no text
        ([40, 1, 1], "txt"),  # below, but a text
        ([1, 1, 80], "txt"),  # called otherwise by the library
    ],
)
def test_the_graph_answers_as_the_library_does(build, scores, label):
    """The best type, if its score reaches its threshold; else txt or unknown, by its kind."""
    session = onnxruntime.InferenceSession(build()["model.onnx"], providers=["CPUExecutionProvider"])
    rows = np.array([[*scores, *[0] * 5], [99, *[0] * 7]], np.int32)
    answer = dict(
        zip((each.name for each in session.get_outputs()), session.run(None, {"bytes": rows}), strict=True)
    )
    assert answer["label"].tolist() == [label, "python"]
    np.testing.assert_allclose(answer["score"], [max(scores) / 100, 0.99], atol=1e-6)
    assert answer["target_label"].shape == (2, 3)


def test_the_package_says_what_the_columns_mean(build):
    """README.md lists every type by its column, and the example is a file's bytes."""
    package = build()
    assert "| 1 | elf | elf file |" in package["README.md"].decode()
    assert len(tomllib.loads(package["maas.toml"].decode())["example"]["bytes"]) == 8
    onnx.checker.check_model(onnx.load_from_string(package["model.onnx"]))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", [256] * 8),
        (b"ab", [97, 98, 256, 256, 256, 256, 97, 98]),
        (b"  abcdefgh\n", [97, 98, 99, 100, 101, 102, 103, 104]),
        (b"123456789abcdef ", [49, 50, 51, 52, 99, 100, 101, 102]),
        (b" " * 9 + b"z", [256] * 4 + [32, 32, 32, 122]),
    ],
)
def test_a_file_becomes_its_first_and_last_bytes(content, expected):
    """Blocks are cut first, then white space, then to size; what is missing is 256, inwards."""
    assert features(content, CONFIG) == expected


def test_a_wheel_without_the_model_is_an_error(tmp_path, make_wheel):
    """The error names what is missing."""
    (tmp_path / "wheel").write_bytes(make_wheel("magika", "1.0.3", {}))
    entry = find("magika")
    with pytest.raises(SourceError, match=r"has no magika/models/standard_v3_3/config.min.json"):
        entry.build(entry, Wheels({MAGIKA: tmp_path / "wheel"}))
