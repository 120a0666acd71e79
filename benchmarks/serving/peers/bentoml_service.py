"""BentoML as its documentation serves a model: a service class with one worker.

It takes the inputs as rows, since its adaptive batching, where asked for, joins along the first axis.
"""

import os

import bentoml
import numpy as np
import onnxruntime as ort

ROWS = int(os.environ["BENCH_ROWS"])


class _Session:
    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(os.environ["BENCH_THREADS"])
        self.session = ort.InferenceSession(
            os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"]
        )

    def run(self, feeds: dict[str, np.ndarray]) -> np.ndarray:
        return self.session.run(None, feeds)[0]


BATCHING = {"batchable": True, "max_batch_size": ROWS} if ROWS > 1 else {}


@bentoml.service(workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Model(_Session):
    """Runs a graph."""

    @bentoml.api(**BATCHING)
    def predict(self, x: np.ndarray) -> np.ndarray:
        """Run the one float32 input."""
        return self.run({"x": x.astype(np.float32)})

    @bentoml.api(**BATCHING)
    def encode(self, input_ids: np.ndarray) -> np.ndarray:
        """Run the encoder; its mask is all ones in the benchmark, and batching takes one argument."""
        return self.run({"input_ids": input_ids, "attention_mask": np.ones_like(input_ids)})
