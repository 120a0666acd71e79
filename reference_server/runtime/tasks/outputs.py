"""What every task does with a graph's outputs: find the one that is meant, refuse what JSON cannot carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reference_server.errors import Unprocessable

if TYPE_CHECKING:
    from maas_client._package import Package
    from maas_client.types import TensorSpec
    from reference_server.runtime.runner import Runner, Tensor


def output_spec(package: Package, runner: Runner) -> TensorSpec:
    """Return the graph output that the manifest names, or the only one.

    Raises:
        Unprocessable: Code `model_rejected`: there is none of that name, or several and none is named.
    """
    specs = {spec.name: spec for spec in runner.tensors.outputs}
    wanted = package.manifest.postprocessing.output or (next(iter(specs)) if len(specs) == 1 else "")
    if wanted not in specs:
        raise Unprocessable(
            f"postprocessing.output is {wanted!r}; it must name an output of the graph: {', '.join(specs)}",
            code="model_rejected",
        )
    return specs[wanted]


def check_finite(tensor: Tensor) -> None:
    """Check that a tensor, `[batch, …]`, can be written as JSON.

    Raises:
        Unprocessable: Code `non_finite_output`, naming the first instance at fault.
    """
    if tensor.dtype.kind != "f":
        return
    finite = np.isfinite(tensor)
    if not finite.all():
        row = int(finite.reshape(len(tensor), -1).all(axis=1).argmin())
        raise Unprocessable(
            f"the model's output for instance {row} holds NaN or infinity, which JSON cannot carry; "
            "the input may lie outside what the model can handle; POST /v2/models/{model}/infer with "
            "binary_data_output carries it as it is",
            code="non_finite_output",
        )
