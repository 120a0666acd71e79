"""What a predict call returns: typed predictions that know which version, device and time made them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from pydantic import ConfigDict, PrivateAttr, ValidationError

from maas_client.types import PredictReply, Reply, Timing, Usage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maas_client._open_inference import InferReply
    from maas_client.errors import MaasError


class Call(Reply):
    """What made a prediction: shared by all predictions of one call.

    Args:
        id: The call's own id, to quote to whoever runs the service.
        model: The model's name.
        version: The version that answered.
        digest: The content digest of that version.
        device: What really ran it, such as `cpu`.
        usage: What the call counted as.
        timing: Where the server spent its time, in milliseconds.
    """

    id: str
    model: str
    version: int
    digest: str
    device: str
    usage: Usage
    timing: Timing


class _OfCall:
    """Gives the call's data as attributes."""

    @property
    def call(self) -> Call:
        """Everything about the call in one object."""
        raise NotImplementedError

    @property
    def id(self) -> str:
        """The call's own id."""
        return self.call.id

    @property
    def model(self) -> str:
        """The model's name."""
        return self.call.model

    @property
    def version(self) -> int:
        """The version that answered."""
        return self.call.version

    @property
    def digest(self) -> str:
        """The content digest of that version."""
        return self.call.digest

    @property
    def device(self) -> str:
        """What really ran it."""
        return self.call.device

    @property
    def usage(self) -> Usage:
        """What the call counted as."""
        return self.call.usage

    @property
    def timing(self) -> Timing:
        """Where the server spent its time, in milliseconds."""
        return self.call.timing


class Prediction(_OfCall, Reply):
    """One prediction; its outputs are attributes, and items where a name clashes: `prediction["version"]`."""

    model_config = ConfigDict(
        frozen=True, extra="allow", protected_namespaces=(), arbitrary_types_allowed=True
    )

    _call: Call = PrivateAttr()

    @property
    def call(self) -> Call:
        """Everything about the call in one object."""
        return self._call

    @property
    def outputs(self) -> dict[str, Any]:
        """The task's outputs by name."""
        return {name: getattr(self, name) for name in type(self).model_fields} | (self.model_extra or {})

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - any JSON value
        return self.outputs[name]

    def _repr_html_(self) -> str:
        from maas_client import _display

        made_by = _display.made_by(self.call)
        return _display.of_fields("Prediction", {**self.outputs, "made by": made_by})

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # noqa: ANN401 - any JSON value


class ClassificationPrediction(Prediction):
    """A prediction of one class among several.

    Args:
        label: The most probable class.
        score: Its probability, 0 to 1.
        scores: The probability of every class.
    """

    label: str
    score: float
    scores: dict[str, float]

    def _repr_html_(self) -> str:
        from maas_client import _display

        return _display.of_scores(self.label, self.scores, _display.made_by(self.call))


AnyPrediction: TypeAlias = ClassificationPrediction | Prediction


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one instance of many.

    Args:
        index: The instance's place among those that were given, from 0.
        prediction: The prediction; None when there is none.
        error: Why there is none; None when there is one.
    """

    index: int
    prediction: AnyPrediction | None = None
    error: MaasError | None = None

    def result(self) -> AnyPrediction:
        """Return the prediction.

        Raises:
            MaasError: The instance's own error.
        """
        if self.prediction is None:
            # A copy: an exception that is raised keeps the frames it came through.
            raise copy(self.error) if self.error else AssertionError("an outcome without a result")
        return self.prediction


class Predictions(_OfCall, Sequence[AnyPrediction]):
    """The predictions of one call, in the order of its instances."""

    __slots__ = ("_call", "_items")

    def __init__(self, items: Iterable[AnyPrediction], call: Call) -> None:
        self._items = tuple(items)
        self._call = call

    @classmethod
    def from_reply(cls, reply: PredictReply) -> Predictions:
        """Return the typed predictions of a reply."""
        call = Call.model_construct(**{name: value for name, value in reply if name != "predictions"})
        return cls((prediction_of(outputs, call) for outputs in reply.predictions), call)

    @property
    def call(self) -> Call:
        """Everything about the call in one object."""
        return self._call

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> AnyPrediction: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[AnyPrediction, ...]: ...
    def __getitem__(self, index: int | slice) -> AnyPrediction | tuple[AnyPrediction, ...]:
        return self._items[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Predictions):
            return NotImplemented
        return (self._call, self._items) == (other._call, other._items)

    def __hash__(self) -> int:
        return hash((self._call.id, len(self._items)))

    def _repr_html_(self) -> str:
        from maas_client import _display

        return _display.of_predictions(self)

    def __repr__(self) -> str:
        return f"Predictions({len(self._items)} of {self.model} version {self.version})"


def prediction_of(outputs: dict[str, Any], call: Call) -> AnyPrediction:
    """Return the outputs of one instance as the type of prediction that they are."""
    kind = ClassificationPrediction if outputs.keys() >= {"label", "score", "scores"} else Prediction
    try:
        prediction = kind.model_validate(outputs)
    except ValidationError:
        # Another task may use the same names for something else: then they are read as they are.
        prediction = Prediction.model_validate(outputs)
    prediction._call = call  # noqa: SLF001 - set once, where the prediction is made
    return prediction


class InferResult(Mapping[str, "NDArray[Any]"]):
    """The output tensors of an inference by name: `result["y"]` is a numpy array.

    An array is a read-only view of the reply where its datatype allows that; `.copy()` gives one of your own.
    """

    __slots__ = ("_arrays", "_reply")

    def __init__(self, reply: InferReply) -> None:
        self._reply = reply
        self._arrays = {tensor.name: tensor.array for tensor in reply.outputs}

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    # Arrays compare element by element, so two results are equal only when they are the same one.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def model(self) -> str | None:
        """The model that answered, where the server tells."""
        return self._reply.model_name

    @property
    def version(self) -> str | None:
        """The version that answered, where the server tells."""
        return self._reply.model_version

    @property
    def id(self) -> str | None:
        """The request's id, where it had one."""
        return self._reply.id

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Whatever else the server tells."""
        return self._reply.parameters

    @property
    def datatypes(self) -> dict[str, str]:
        """The Open Inference datatype of each output, such as `FP32`."""
        return {tensor.name: tensor.datatype for tensor in self._reply.outputs}

    def __repr__(self) -> str:
        shown = [f"{tensor.name}: {tensor.datatype}{tensor.shape}" for tensor in self._reply.outputs[:10]]
        more = ", …" if len(self._reply.outputs) > len(shown) else ""
        return f"InferResult({', '.join(shown)}{more})"

    def _repr_html_(self) -> str:
        from maas_client import _display

        return _display.of_tensors(self._reply)
