"""The one interface to whatever computes a model: tensors in, tensors out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from maas_client.types import TensorSignature

    # The datatype is the signature's to tell; a runner takes and returns every one that it names.
    Tensor: TypeAlias = NDArray[Any]
    Tensors: TypeAlias = Mapping[str, Tensor]


class ExecutionProviderError(RuntimeError):
    """The execution provider that was asked for cannot run here; the message says what to install."""


class Runner(Protocol):
    """A model ready to run. Its methods may be called from several threads at once."""

    @property
    def tensors(self) -> TensorSignature:
        """The graph's inputs and outputs."""

    @property
    def device(self) -> str:
        """What really runs it: `cpu` or `cuda:0`."""

    @property
    def batch_invariant(self) -> bool:
        """Whether a row's result is the same in any company; if not, rows must be run one by one."""

    def run(
        self, inputs: Tensors, *, outputs: Sequence[str] | None = None, deadline: float | None = None
    ) -> dict[str, Tensor]:
        """Compute outputs from inputs.

        Args:
            inputs: One array per graph input; strings as arrays of `object`.
            outputs: The graph outputs wanted; all when left out.
            deadline: The `time.monotonic()` value at which the result is of no use any more.

        Raises:
            DeadlineExceeded: The deadline passed; the computation ends at its next node.
            Unprocessable: The graph refused these inputs.
            Unavailable: The runner has been closed.
        """

    def close(self) -> None:
        """Take no more runs; those under way finish, then the model's memory is freed."""
