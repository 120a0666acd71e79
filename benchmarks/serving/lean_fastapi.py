"""The peer that is always there: a FastAPI handler as lean as can be, on uvicorn with uvloop and httptools.

python lean_fastapi.py MODEL.onnx PORT THREADS: `POST /predict` takes a JSON object of the model's inputs, one
row; `POST /raw` takes the bytes of the one float32 input. No authentication, no validation, no metrics, no
limits.
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime as ort
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response

options = ort.SessionOptions()
options.intra_op_num_threads = int(sys.argv[3])
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
INPUTS = [(each.name, TYPES[each.type]) for each in session.get_inputs()]
SHAPE = [size if isinstance(size, int) else 1 for size in session.get_inputs()[0].shape]
app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> Response:
    """Run one row."""
    given = orjson.loads(await request.body())
    (result,) = session.run(None, {name: np.array([given[name]], kind) for name, kind in INPUTS})
    return Response(orjson.dumps({"y": result[0].tolist()}), media_type="application/json")


@app.post("/threaded")
def predict_in_thread(given: dict[str, list[float]]) -> dict[str, list[float]]:
    """Run one row as most people write it: a plain function, which FastAPI runs in its threads."""
    (result,) = session.run(None, {name: np.array([given[name]], kind) for name, kind in INPUTS})
    return {"y": result[0].tolist()}


@app.post("/raw")
async def raw(request: Request) -> Response:
    """Run one row that comes as bytes."""
    array = np.frombuffer(await request.body(), np.float32).reshape(SHAPE)
    (result,) = session.run(None, {INPUTS[0][0]: array})
    return Response(result.tobytes(), media_type="application/octet-stream")


uvicorn.run(
    app,
    host="127.0.0.1",
    port=int(sys.argv[2]),
    access_log=False,
    log_level="error",
    loop="uvloop",
    http="httptools",
)
