"""A tokenizer.json that wishes ill to whoever reads it, or to the texts that meet it."""

from __future__ import annotations

import base64
import json

from forging import REJECTED, TEXT_MANIFEST, Hostile, package
from onnx import ModelProto, TensorProto, helper

_TOKENIZER = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": None,
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1}, "unk_token": "[UNK]"},
}


def tokenizer(**parts: object) -> str:
    """Return a tokenizer.json with other parts."""
    return json.dumps({**_TOKENIZER, **parts})


def charsmap(content: bytes) -> str:
    """Return a tokenizer.json with this table of normalised characters."""
    text = base64.b64encode(content).decode()
    return tokenizer(normalizer={"type": "Precompiled", "precompiled_charsmap": text})


def tokenizers() -> dict[str, Hostile]:
    split = {"type": "Split", "behavior": "Isolated", "invert": False}
    grows = {"type": "Replace", "pattern": {"Regex": "."}, "content": "x" * 1000}
    template = {"single": [{"SpecialToken": {"id": "x", "type_id": 0}}], "pair": [], "special_tokens": {}}
    cases: dict[str, tuple[str, str]] = {
        "a tokenizer that is no JSON": ("{", "tokenizer.json cannot be read"),
        "a tokenizer of brackets": ("[" * 2**20, "tokenizer.json cannot be read"),
        "a tokenizer that is empty": ("", "tokenizer.json cannot be read"),
        "a tokenizer with a broken table": (charsmap(b""), "tokenizer.json cannot be read"),
        "a tokenizer whose table lies": (charsmap(b"\0\4\0\0" + b"\xff\0\xff\1" * 256 + b"a"), "example"),
        "a tokenizer whose template lacks its token": (
            tokenizer(post_processor={"type": "TemplateProcessing", **template}),
            "example",
        ),
        "a tokenizer with a broken expression": (
            tokenizer(pre_tokenizer={**split, "pattern": {"Regex": "(a+"}}),
            "tokenizer.json cannot be read",
        ),
        "a tokenizer that makes text grow": (
            tokenizer(normalizer={"type": "Sequence", "normalizers": [grows] * 4}),
            "longer than",
        ),
        "a tokenizer of no known words": (
            tokenizer(model={"type": "WordLevel", "vocab": {"a": 1}, "unk_token": "[UNK]"}),
            "[UNK]",
        ),
        "a tokenizer with absurd numbers": (
            tokenizer(model={"type": "WordLevel", "vocab": {"a": -1, "[UNK]": 2**70}, "unk_token": "[UNK]"}),
            "tokenizer.json cannot be read",
        ),
        "a tokenizer whose words are beyond the graph's": (
            tokenizer(model={"type": "WordLevel", "vocab": {"a": 1, "[UNK]": 2**31}, "unk_token": "[UNK]"}),
            "example",
        ),
    }
    content = token_graph().SerializeToString()
    return {
        name: Hostile(package(TEXT_MANIFEST, content, tokenizer__json=text), REJECTED, says)
        for name, (text, says) in cases.items()
    }


def token_graph() -> ModelProto:
    """Return a graph over token ids: two scores of each."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("ReduceSum", ["rows", "axis"], ["scores"], keepdims=0),
    ]
    made = helper.make_graph(
        nodes,
        "tokens",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 2])],
        [
            helper.make_tensor("table", TensorProto.FLOAT, [2, 2], [0.5, 0.5, 0.2, 0.8]),
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        ],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
