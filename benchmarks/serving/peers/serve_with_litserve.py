"""LitServe as its documentation serves a model: decode, predict, encode, its faster queue, one worker.

python serve_with_litserve.py MODEL.onnx PORT ROWS THREADS: with ROWS above 1 it batches up to so many.
"""

from __future__ import annotations

import sys

import litserve as ls
import numpy as np
import onnxruntime as ort

TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


class OnnxAPI(ls.LitAPI):
    """Runs a graph whose inputs come as one row each."""

    def setup(self, device):
        """Open the session, in the worker."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(sys.argv[4])
        self.session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
        self.inputs = [(each.name, TYPES[each.type]) for each in self.session.get_inputs()]

    def decode_request(self, request):
        """Make arrays of JSON, without the axis of rows."""
        return {name: np.asarray(request[name], kind) for name, kind in self.inputs}

    def batch(self, inputs):
        """Stack what came together."""
        return {name: np.stack([row[name] for row in inputs]) for name, _ in self.inputs}

    def predict(self, x):
        """Run what is stacked, or one row."""
        if self.max_batch_size > 1:
            return self.session.run(None, x)[0]
        return self.session.run(None, {name: array[None] for name, array in x.items()})[0][0]

    def unbatch(self, output):
        """Give each its row."""
        return list(output)

    def encode_response(self, output):
        """Answer with JSON."""
        return {"y": output.tolist()}


if __name__ == "__main__":
    batching = {"max_batch_size": int(sys.argv[3]), "batch_timeout": 0.005} if int(sys.argv[3]) > 1 else {}
    server = ls.LitServer(OnnxAPI(**batching), accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[2]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="error",
        access_log=False,
    )
