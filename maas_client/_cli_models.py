"""`maas models` and `maas model`: the catalogue, filtered and sorted, and one model whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

import click

from maas_client._cli import _JSON, _MODEL, _with_options, main
from maas_client._cli_output import _json, _lines, _number, _pairs, _table
from maas_client._quantities import in_bytes, in_milliseconds
from maas_client.recommendations import end_of
from maas_client.types import ModelSort

if TYPE_CHECKING:
    from maas_client._cli import _Options
    from maas_client.types import Model, Performance

_COLUMNS = (
    "MODEL",
    "TASK",
    "DEFAULT",
    "OWNER",
    "ACCURACY",
    "LATENCY",
    "SIZE",
    "CALLS",
    "STATE",
    "DESCRIPTION",
)


@main.command()
@click.option("--task", help="Only models of this task, such as text-classification.")
@click.option("-q", "--query", "q", help="Words that name, description or tags must contain.")
@click.option("--tag", multiple=True, help="A tag that models must have; may be repeated.")
@click.option("--license", help="Only models of this licence.")
@click.option("--owner", help="Only this account's models; `me` is yours.")
@click.option(
    "--max-latency-ms",
    type=click.FloatRange(min=0, min_open=True),
    help="The longest median time of a call, as the server measured it.",
)
@click.option("--min-accuracy", type=click.FloatRange(0, 1), help="The least accuracy, 0 to 1.")
@click.option("--max-size-bytes", type=click.IntRange(1), help="The largest package.")
@click.option(
    "--sort", type=click.Choice(get_args(ModelSort)), help="The order; `-` reverses it.  [default: name]"
)
@click.option("--shared", is_flag=True, help="Only models that others have shared with you.")
@click.option("--limit", type=click.IntRange(1), help="How many to list; all of them if left out.")
@_JSON
@_with_options
def models(options: _Options, /, *, limit: int | None, as_json: bool, **filters: Any) -> None:  # noqa: ANN401 - the options above
    """List the models that you can use.

    STATE is that of the version behind `default`, or else of the latest. CALLS are those of the last 30
    days; LATENCY is the median of what this server measured. A filter by a figure leaves out models that lack
    it, an order puts them last.
    """
    found: list[Model] = []
    with options.client() as client:
        for model in client.models.list(page_size=min(limit or 1000, 1000), **filters):
            found.append(model)
            if len(found) == limit:
                break
    _table(found, _COLUMNS, map(_row, found), as_json=as_json)


@main.command()
@_MODEL
@_JSON
@_with_options
def model(options: _Options, name: str, *, as_json: bool) -> None:
    """Describe a model: what it is for, what it takes, how good it was measured to be."""
    with options.client() as client:
        found = client.models.get(name)
    if as_json:
        _json(found)
        return
    lines = [
        ("task", found.task or "—"),
        ("owner", found.owned_by),
        ("visibility", found.visibility),
        ("your role", found.role or "—"),
        ("licence", found.license or "—"),
        ("default version", _number(found.default_version)),
        ("state", end_of(found)),
        ("description", found.description),
        ("intended use", found.intended_use),
        ("limitations", found.limitations),
        ("labels", ", ".join(found.labels)),
        *((f"input {spec.name}", spec.type) for spec in (found.signature.inputs if found.signature else ())),
        *(
            (metric.name, f"{metric.value:.4g} on {metric.rows:,} rows of {metric.dataset}")
            for metric in found.metrics
        ),
        *((f"measured on {each.device}", _performance(each)) for each in found.performance),
        ("size", in_bytes(found.size) or ""),
        ("usage", f"{found.usage.calls:,} calls in the last {found.usage.days} days" if found.usage else ""),
        ("captured", _captured(found)),
        ("example", json.dumps(found.example, ensure_ascii=False) if found.example else ""),
    ]
    _pairs(found.id, [(name, value) for name, value in lines if value])
    if found.snippets is not None:
        click.echo(f"\n{_lines(found.snippets.python)}\n{_lines(found.snippets.curl)}", nl=False)


def _row(model: Model) -> list[str | None]:
    accuracy = next((each.value for each in model.metrics if each.name.lower() == "accuracy"), None)
    latency = next((each.p50_ms for each in model.performance if each.p50_ms is not None), None)
    return [
        model.id,
        model.task,
        _number(model.default_version),
        model.owned_by,
        None if accuracy is None else f"{accuracy:.3f}",
        in_milliseconds(latency),
        in_bytes(model.size),
        None if model.usage is None else f"{model.usage.calls:,}",
        end_of(model) or "active",
        model.description,
    ]


def _performance(measured: Performance) -> str:
    p50, p95 = (in_milliseconds(each) or "—" for each in (measured.p50_ms, measured.p95_ms))
    rate = "" if measured.rows_per_second is None else f", {measured.rows_per_second:,.0f} rows/s"
    return f"{p50} median, {p95} at 95 %{rate}, over {measured.calls:,} calls"


def _captured(found: Model) -> str:
    if found.captured is None:
        return ""
    part = "" if found.captured.sample >= 1 else f" of {found.captured.sample:.1%} of the calls"
    return f"inputs and outputs{part} are stored for its owners, {found.captured.days} days each"
