"""A server of KServe's with one model: every input comes back twice, added."""

import argparse

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server


class Doubler(Model):
    """Doubles."""

    def __init__(self) -> None:
        super().__init__("doubler")
        self.ready = True

    async def get_input_types(self) -> list[dict]:
        """Describe the input."""
        return [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]

    async def get_output_types(self) -> list[dict]:
        """Describe the output."""
        return [{"name": "x_twice", "datatype": "FP32", "shape": [-1, 2]}]

    async def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:
        """Double every tensor, in the form that was asked for."""
        outputs = []
        for tensor in payload.inputs:
            array = tensor.as_numpy()
            output = InferOutput(f"{tensor.name}_twice", list(array.shape), tensor.datatype)
            twice = array if array.dtype == bool else array + array
            output.set_data_from_numpy(
                twice.astype(array.dtype), binary_data=bool(payload.use_binary_outputs)
            )
            outputs.append(output)
        return InferResponse(
            payload.id,
            "doubler",
            outputs,
            use_binary_outputs=bool(payload.use_binary_outputs),
            requested_outputs=payload.request_outputs,
        )


if __name__ == "__main__":
    options, _ = argparse.ArgumentParser(parents=[model_server.parser]).parse_known_args()
    ModelServer(enable_grpc=False).start([Doubler()])
