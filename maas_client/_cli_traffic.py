"""Commands of `maas` about a model's traffic: who serves, who is to serve, how versions compare."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from maas_client._cli import _JSON, _MODEL, _with_options, main
from maas_client._cli_output import _json, _pairs, _show, _time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maas_client._cli import _Options
    from maas_client.comparisons import VersionsCompared
    from maas_client.types import Comparison, Estimate, Traffic

_NOTE = click.option("--note", default="", help="Why, for the record.")
_FORCE = click.option(
    "--force", is_flag=True, help="Take versions that break calls which work with the one of `default`."
)


def _moment(text: str) -> datetime:
    """Read a time with an offset, as RFC 3339 has it; one without is this machine's own."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time; write it as 2026-11-27T09:30:00+01:00") from None


def _weight(text: str) -> tuple[int, float]:
    """Read a version and its weight: `4=10`."""
    version, _, weight = text.partition("=")
    try:
        return int(version), float(weight)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no version with a weight; write it as 4=10") from None


@main.group()
def traffic() -> None:
    """Let several versions share the calls that name none, and others get copies."""


@traffic.command("show")
@_MODEL
@_JSON
@_with_options
def show_traffic(options: _Options, name: str, *, as_json: bool) -> None:
    """Show who serves the calls that name no version."""
    with options.client() as client:
        found = client.model(name).traffic.get()
    _show_traffic(found, as_json=as_json)


@traffic.command("split")
@_MODEL
@click.argument("weights", type=_weight, nargs=-1, metavar="[VERSION=WEIGHT]...")
@click.option(
    "--shadow", "shadows", type=click.IntRange(1), multiple=True, help="A version that gets copies."
)
@_NOTE
@_FORCE
@_JSON
@_with_options
def split_traffic(
    options: _Options,
    name: str,
    weights: tuple[tuple[int, float], ...],
    *,
    shadows: tuple[int, ...],
    note: str,
    force: bool,
    as_json: bool,
) -> None:
    """Let versions share the calls: `maas traffic split NAME 3=95 4=5`.

    Without WEIGHTS `default` goes on to serve alone, and shadows get copies.
    """
    with options.client() as client:
        changed = client.model(name).traffic.split(dict(weights), shadows=shadows, note=note, force=force)
    _show_traffic(changed, as_json=as_json)


@traffic.command("promote")
@_MODEL
@click.argument("version", type=click.IntRange(1))
@_NOTE
@_FORCE
@_JSON
@_with_options
def promote(options: _Options, name: str, version: int, *, note: str, force: bool, as_json: bool) -> None:
    """Move `default` to VERSION and end the split."""
    with options.client() as client:
        changed = client.model(name).traffic.promote(version, note=note, force=force)
    _show(changed, as_json=as_json, text=f"{name}: version {version} is `default` and serves alone")


@traffic.command("withdraw")
@_MODEL
@_NOTE
@_JSON
@_with_options
def withdraw(options: _Options, name: str, *, note: str, as_json: bool) -> None:
    """End the split and the shadows: `default` serves alone again."""
    with options.client() as client:
        left = client.model(name).traffic.withdraw(note=note)
    _show(left, as_json=as_json, text=f"{name}: `default` serves alone")


@main.command()
@_MODEL
@click.option(
    "--at", type=_moment, metavar="TIME", help="Such as 2026-11-27T09:30:00+01:00; now if left out."
)
@_JSON
@_with_options
def served(options: _Options, name: str, *, at: datetime | None, as_json: bool) -> None:
    """Tell which versions served at a time, and who had made it so, when and why."""
    with options.client() as client:
        found = client.model(name).served(at=at)
    if as_json:
        _json(found)
        return
    shares = ", ".join(f"version {each.version} ({each.share:.4g})" for each in found.versions)
    _pairs(
        f"{name} at {_time(found.at)}",
        [
            ("served", shares),
            ("shadows", ", ".join(map(str, found.shadows)) or "—"),
            ("since", _time(found.since)),
            ("by", f"{found.by} ({found.kind})"),
            ("why", found.note or "—"),
        ],
    )


@main.command()
@_MODEL
@click.argument("a", type=click.IntRange(1))
@click.argument("b", type=click.IntRange(1))
@click.option(
    "-f",
    "--file",
    type=click.File("r", encoding="utf-8"),
    help="Compare on these instances, one JSON object a line; `-` for standard input.",
)
@click.option("--target", help="With --file: the field of each line that holds the right label or value.")
@click.option("--since", type=click.IntRange(0), default=0, help="Live traffic since this revision of it.")
@_JSON
@_with_options
def compare(
    options: _Options,
    name: str,
    a: int,
    b: int,
    *,
    file: Any,  # noqa: ANN401 - an open text file
    target: str | None,
    since: int,
    as_json: bool,
) -> None:
    """Compare version B with version A: by live traffic, or on the lines of a file."""
    with options.client() as client:
        if file is None:
            live = client.model(name).comparison(a, b, since=since)
            found: Comparison | VersionsCompared = live
            lines = _live(live)
        else:
            inputs, targets = _sample(file, target)
            own = client.model(name).compare(a, b, inputs, targets)
            found, lines = own, _own(own)
    if as_json:
        _json(found)
        return
    _pairs(f"{name}: version {b} compared with version {a}", lines)
    for caveat in found.caveats:
        click.echo(f"note: {caveat}")


def _show_traffic(found: Traffic, *, as_json: bool) -> None:
    shares = ", ".join(f"version {each.version} {each.share:.4g}" for each in found.splits)
    told = shares or "`default` serves alone"
    if found.shadows:
        told += f"; copies to version {', '.join(map(str, found.shadows))}"
    _show(found, as_json=as_json, text=f"{told} (revision {found.revision})")


def _sample(lines: Iterable[str], target: str | None) -> tuple[list[Any], list[Any] | None]:
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise click.UsageError(f"line {number} is not JSON: {error}") from error
        if not isinstance(rows[-1], dict) or (target is not None and target not in rows[-1]):
            raise click.UsageError(f"line {number} is no object{f' with {target!r}' if target else ''}")
    return rows, None if target is None else [row.pop(target) for row in rows]


def _live(found: Comparison) -> list[tuple[str, str]]:
    shadow = found.shadow
    copies = (
        []
        if shadow is None
        else [
            ("copies", f"{shadow.calls:,} compared, {shadow.dropped:,} dropped"),
            (f"agreement ({shadow.measure})", _figure(shadow.agreement)),
            ("mean difference", _figure(shadow.difference)),
            ("latency ratio, copies", _figure(shadow.latency_ratio)),
            ("error rate, copies", _figure(shadow.error_rate_b)),
        ]
    )
    served_by = [
        line
        for each in (found.served_a, found.served_b)
        for line in (
            (f"version {each.version}", f"{each.calls:,} calls, {_figure(each.latency_ms)} ms"),
            ("  error rate", _figure(each.error_rate)),
        )
    ]
    return [*copies, *served_by, ("latency ratio, own calls", _figure(found.latency_ratio))]


def _own(found: VersionsCompared) -> list[tuple[str, str]]:
    lines = [
        ("rows", f"{found.rows:,}, without answer {found.failed_a:,} and {found.failed_b:,}"),
        (f"agreement ({found.measure})", _figure(found.agreement)),
        ("latency ratio", _figure(found.latency_ratio)),
    ]
    if found.metric is not None:
        lines += [
            (f"{found.metric}, version {found.a}", _figure(found.metric_a)),
            (f"{found.metric}, version {found.b}", _figure(found.metric_b)),
            ("difference", _figure(found.metric_difference)),
        ]
    return lines


def _figure(estimate: Estimate | None) -> str:
    if estimate is None:
        return "—"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"
