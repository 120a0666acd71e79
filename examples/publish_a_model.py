"""Train a small text classifier, pack it, publish it, call it.

Needs the server's packages (numpy, onnx, onnxruntime), MAAS_BASE_URL, and MAAS_API_KEY with the scopes
models:read, models:write and predict. A graph from any other tool (PyTorch, scikit-learn, Keras) is packed
in the same way: `model.onnx` and `maas.toml` in one folder.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import maas_client

LABELS = ["billing", "delivery", "technical"]
TICKETS = [
    ("I was charged twice this month", 0),
    ("please refund my last payment", 0),
    ("the invoice shows the wrong amount", 0),
    ("how do I change my credit card", 0),
    ("my parcel has not arrived", 1),
    ("the courier left the package next door", 1),
    ("when will my order be shipped", 1),
    ("tracking says delivered but nothing came", 1),
    ("the app crashes when I open it", 2),
    ("I cannot log in after the update", 2),
    ("the screen stays black and shows an error", 2),
    ("the page does not load on my phone", 2),
]
WORDS = sorted({word for text, _ in TICKETS for word in text.lower().split()})

MANIFEST = f"""\
format = 1
task = "text-classification"
description = "Sorts support tickets into billing, delivery and technical."
license = "Apache-2.0"
intended_use = "Shows how to publish a model."
limitations = "Learnt from {len(TICKETS)} sentences; knows {len(WORDS)} English words."
tags = ["support", "example"]
labels = {LABELS}

[example]
text = "Where is my parcel?"
"""


def front_part() -> list[onnx.NodeProto]:
    """Return the nodes from a text to counts of known words, so that the graph itself takes strings."""
    return [
        helper.make_node(
            "StringNormalizer", ["text"], ["lower"], case_change_action="LOWER", locale="C.UTF-8"
        ),
        helper.make_node(
            "Tokenizer",
            ["lower"],
            ["tokens"],
            domain="com.microsoft",
            mark=1,
            mincharnum=1,
            pad_value="",
            tokenexp="[a-z]+",
        ),
        helper.make_node(
            "TfIdfVectorizer",
            ["tokens"],
            ["counts"],
            mode="TF",
            min_gram_length=1,
            max_gram_length=1,
            max_skip_count=0,
            ngram_counts=[0],
            ngram_indexes=list(range(len(WORDS))),
            pool_strings=WORDS,
        ),
    ]


def graph(nodes: list[onnx.NodeProto], output: str, width: int, weights: np.ndarray | None = None) -> bytes:
    """Return a serialised model from `text`, strings [batch], to `output`, floats [batch, width]."""
    inner = helper.make_graph(
        nodes,
        "tickets",
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["batch"])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", width])],
        [] if weights is None else [numpy_helper.from_array(weights, "weights")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(inner, opset_imports=opsets, ir_version=8).SerializeToString()


def train() -> np.ndarray:
    """Return weights [words, labels] by gradient descent on the cross-entropy of the tickets."""
    session = onnxruntime.InferenceSession(graph(front_part(), "counts", len(WORDS)))
    (counts,) = session.run(None, {"text": np.array([text for text, _ in TICKETS], dtype=object)})
    targets = np.eye(len(LABELS), dtype=np.float32)[[label for _, label in TICKETS]]
    weights = np.zeros((len(WORDS), len(LABELS)), np.float32)
    for _ in range(300):
        powers = np.exp(counts @ weights)
        weights -= 0.5 * counts.T @ (powers / powers.sum(axis=1, keepdims=True) - targets) / len(TICKETS)
    return weights


def main() -> None:
    """Train, pack, publish, call."""
    nodes = [
        *front_part(),
        helper.make_node("MatMul", ["counts", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.onnx").write_bytes(graph(nodes, "probabilities", len(LABELS), train()))
        Path(folder, "maas.toml").write_text(MANIFEST)
        client = maas_client.Client()
        version = client.models.publish(folder, name="support_tickets", notes="The first twelve tickets.")
    print(f"published {version.model} version {version.version}, {version.digest[:19]}...")
    for text in ("Where is my parcel?", "You charged my card twice!", "It crashes with an error."):
        result = client.predict("support_tickets", text=text)
        print(f"{result.label:<10} {result.score:.2f}  {text}")


if __name__ == "__main__":
    main()
