"""A model as a card in a notebook, and as a row beside others."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from maas_client import _display
from maas_client._quantities import in_bytes, in_milliseconds

if TYPE_CHECKING:
    from maas_client.types import Model

_CODE = (
    "margin:.3em 0 .8em 0;padding:.5em .8em;font-family:monospace;white-space:pre-wrap;"
    "background:rgba(128,128,128,.12)"
)


def of_model(model: Model) -> str:
    """Return what a model is for, how it was measured and how it is called."""
    facts = {
        name: value
        for name, value in dict(model).items()
        if name not in ("id", "name", "created", "snippets", "size", "usage")
    }
    facts |= {"size": in_bytes(model.size)}
    if model.usage is not None:
        facts["usage"] = f"{model.usage.calls:,} calls, {model.usage.rows:,} rows in {model.usage.days} days"
    card = _display.of_fields(model.id, facts)
    if model.snippets is None:
        return card
    shown = {
        "Python": model.snippets.python,
        "Shell": model.snippets.curl,
        "Why it says that": model.snippets.explain_python,
    }
    blocks = "".join(
        f'<div>{title}</div><div style="{_CODE}">{escape(text)}</div>'
        for title, text in shown.items()
        if text
    )
    return f"<div>{card}{blocks}</div>"


def row_of_model(model: Model) -> dict[str, object]:
    """Return a model's fields with its figures as they are compared: one number and its unit."""
    accuracy = next((each.value for each in model.metrics if each.name.lower() == "accuracy"), None)
    latency = next((each.p50_ms for each in model.performance if each.p50_ms is not None), None)
    return {
        **dict(model),
        "accuracy": accuracy,
        "latency": in_milliseconds(latency),
        "size": in_bytes(model.size),
        "calls": model.usage.calls if model.usage else None,
    }
