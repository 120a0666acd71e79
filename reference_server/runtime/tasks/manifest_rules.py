"""Which fields of a manifest each task has a use for; the others are refused, as they would do nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reference_server.errors import Unprocessable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maas_client.types import Manifest

_TEXT = frozenset({"max_characters", "tokenizer", "max_tokens"})
_SCORES = frozenset({"output", "activation"})
_USED: dict[str, frozenset[str]] = {
    "embedding": _TEXT | {"output", "pooling", "normalize"},
    "image-classification": _SCORES | {"image"},
    "tabular-classification": _SCORES | {"columns", "background"},
    "tabular-regression": frozenset({"columns", "background", "output", "unit"}),
    "tensor": frozenset(),
    "text-classification": _TEXT | _SCORES,
}


def check_manifest(manifest: Manifest) -> None:
    """Check that a manifest sets nothing that its task has no use for.

    Raises:
        Unprocessable: Code `model_rejected`, naming the field.
    """
    used = _USED[manifest.task]
    for part, name in _set_fields(manifest):
        if name not in used:
            raise Unprocessable(
                f"{part}.{name} does nothing for the task {manifest.task!r}; remove it from maas.toml",
                code="model_rejected",
                param=f"{part}.{name}",
            )
    if manifest.labels and "activation" not in used:
        raise Unprocessable(
            f"labels do nothing for the task {manifest.task!r}; remove them from maas.toml",
            code="model_rejected",
            param="labels",
        )


def _set_fields(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for part, options in (
        ("preprocessing", manifest.preprocessing),
        ("postprocessing", manifest.postprocessing),
    ):
        for name, field in type(options).model_fields.items():
            if getattr(options, name) != field.get_default(call_default_factory=True):
                yield part, name
