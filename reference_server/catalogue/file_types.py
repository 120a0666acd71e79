"""Magika, which tells a file's type from its first and last bytes.

Its graph returns 214 scores. What its own library makes of them (Magika 1.0.3,
`_get_output_label_from_dl_label_and_score`, in the mode "high confidence") is a look-up, so it is put into
the graph: who calls it gets a name.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from maas_client._package import GRAPH
from maas_client.types import Manifest
from reference_server.catalogue.sources import MAGIKA
from reference_server.manifest_files import manifest_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reference_server.catalogue.entry import Entry
    from reference_server.catalogue.sources import Wheels

_MODEL = "magika/models/standard_v3_3"
_KNOWN_TYPES = "magika/config/content_types_kb.min.json"
_SCORES = "target_label"
_INPUT = "bytes"
_EXAMPLE = b'#!/bin/sh\nset -e\nfor file in *.txt; do\n  echo "$file"\ndone\n'


def magika(entry: Entry, wheels: Wheels) -> Mapping[str, bytes]:
    """Return Magika's graph, which now answers with a `label` and its `score` beside all scores."""
    config = json.loads(wheels.read(MAGIKA, f"{_MODEL}/config.min.json"))
    known = json.loads(wheels.read(MAGIKA, _KNOWN_TYPES))
    manifest = Manifest(
        task=entry.task,
        description=entry.description,
        license=entry.licence,
        intended_use="Sorting of uploads and archives by what they are, whatever their names say. The "
        "input `bytes` is 2048 numbers: the file's first 4096 bytes without leading white space, of these "
        "the first 1024, then 256 up to 1024 of them; after that its last 4096 bytes without trailing white "
        "space, of these the last 1024, with as many 256 before them as are missing. `label` is what "
        "Magika's own library answers, `score` the highest of `target_label`, whose columns README.md lists.",
        limitations="Files that have fewer than 8 bytes without the white space around them are not what it "
        "was made for: Magika's library calls them txt, unknown or empty without asking the model. A label "
        "below its threshold becomes txt or unknown. Not a scanner for malicious files. Its quality was not "
        "measured here.",
        tags=["files", "security"],
        example={_INPUT: features(_EXAMPLE, config)},
    )
    return {
        **manifest_file(manifest),
        GRAPH: _with_labels(wheels.read(MAGIKA, f"{_MODEL}/model.onnx"), config, known),
        "README.md": _readme(config, known),
    }


def features(content: bytes, config: Mapping[str, Any]) -> list[int]:
    """Return a file's content as the model takes it: numbers from 0 to 256, the last for padding."""
    block, beginning, end = int(config["block_size"]), int(config["beg_size"]), int(config["end_size"])
    first = content[:block].lstrip()[:beginning]
    last = content[-block:].rstrip()[-end:]
    padding = [int(config["padding_token"])] * (beginning - len(first) + end - len(last))
    return [*first, *padding, *last]


def _with_labels(graph: bytes, config: Mapping[str, Any], known: Mapping[str, Any]) -> bytes:
    model = onnx.load_from_string(graph)
    labels: list[str] = config["target_labels_space"]
    kept = [config["overwrite_map"].get(label, label) for label in labels]
    generic = ["txt" if known[label]["is_text"] else "unknown" for label in kept]
    least = [config["thresholds"].get(label, config["medium_confidence_threshold"]) for label in labels]
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(kept, object), "kept_labels"),
            numpy_helper.from_array(np.array(generic, object), "generic_labels"),
            numpy_helper.from_array(np.array(least, np.float32), "least_scores"),
        ]
    )
    model.graph.node.extend(
        [
            helper.make_node("ArgMax", [_SCORES], ["best"], axis=1, keepdims=0),
            helper.make_node("ReduceMax", [_SCORES], ["score"], axes=[1], keepdims=0),
            helper.make_node("Gather", ["least_scores", "best"], ["least_score"]),
            helper.make_node("GreaterOrEqual", ["score", "least_score"], ["is_sure"]),
            helper.make_node("Gather", ["kept_labels", "best"], ["kept_label"]),
            helper.make_node("Gather", ["generic_labels", "best"], ["generic_label"]),
            helper.make_node("Where", ["is_sure", "kept_label", "generic_label"], ["label"]),
        ]
    )
    model.graph.output.extend(
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, ["batch"]),
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"]),
        ]
    )
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _readme(config: Mapping[str, Any], known: Mapping[str, Any]) -> bytes:
    labels = config["target_labels_space"]
    rows = (
        f"| {column} | {label} | {known[label]['description']} |\n" for column, label in enumerate(labels)
    )
    head = "# The columns of `target_label`\n\n| column | type | description |\n|---|---|---|\n"
    return (head + "".join(rows)).encode()
