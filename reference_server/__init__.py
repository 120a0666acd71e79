"""A small Flask server that runs ONNX models: the proof of the SDK against something real."""
