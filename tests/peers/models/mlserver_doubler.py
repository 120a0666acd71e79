"""A model of MLServer's: every input comes back twice, added or joined."""

from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Doubler(MLModel):
    """Doubles."""

    async def load(self) -> bool:
        """Be ready at once."""
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Double every tensor; a truth stays what it is."""
        outputs = [
            ResponseOutput(
                name=f"{tensor.name}_twice",
                shape=tensor.shape,
                datatype=tensor.datatype,
                data=[each if isinstance(each, bool) else each + each for each in tensor.data],
            )
            for tensor in payload.inputs
        ]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
