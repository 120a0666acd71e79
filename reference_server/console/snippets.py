"""The calls that a form makes, ready to paste: for the SDK, for a shell, and as our own command."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

import orjson

from maas_client.types import AdviceRequest, FineTuneCreate

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY = '-H "Authorization: Bearer $MAAS_API_KEY"'
_JSON = "-H 'Content-Type: application/json'"
# A file of rows as the contract has them: texts, or else every column but the label as a number.
_ROWS = """import csv, json, sys
asked, label, text = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
rows = list(csv.DictReader(open("rows.csv", encoding="utf-8-sig", newline="")))
def given(row):
    numbers = {name: float(cell) for name, cell in row.items() if name != label} if text not in row else {}
    return numbers or {"text": row[text]}
def target(row):
    return float(row[label]) if asked.get("loss") == "mse" else row[label]
asked["train"] = {"inputs": [given(row) for row in rows], "targets": [target(row) for row in rows]}
print(json.dumps(asked))"""
# What the SDK calls the options of an advice.
_ADVICE_OPTIONS = {
    "objective": "objective",
    "max_quality_loss": "max_quality_loss",
    "time_budget_seconds": "time_budget",
    "budget": "budget",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call in each manner."""

    python: str
    curl: str


def fine_tune(
    options: Mapping[str, object], base_url: str, *, label: str = "label", text: str | None = None
) -> Call:
    """Return a fine-tune on the rows of a file `rows.csv`; options that are as they are anyway are left out.

    Args:
        options: What a `FineTuneCreate` holds beside its rows.
        base_url: Where the service is.
        label: The column of what is true.
        text: The column of texts, if it has another name than `text`.
    """
    fields = FineTuneCreate.model_fields
    said = {name: value for name, value in options.items() if value != fields[name].default}
    columns = {"label": label} if label != "label" else {}
    columns |= {"text": text} if text not in (None, "text") else {}
    given = ["name=" + repr(said.get("name", "my-model")), 'train="rows.csv"']
    given += [f"{name}={value!r}" for name, value in {**columns, **said}.items() if name != "name"]
    lines = ["import maas_client", "", _client(base_url), "job = client.fine_tunes.create("]
    lines += [f"    {each}," for each in given]
    lines += [")", "made = job.wait(progress=True)", "print(made)", ""]
    body = orjson.dumps({"name": "my-model", **said}).decode()
    arguments = shlex.join((body, label, text or "text"))
    curl = (
        f"python3 -c {shlex.quote(_ROWS)} \\\n  {arguments} \\\n"
        f"  | curl {shlex.quote(base_url + '/v1/fine-tunes')} \\\n  {_KEY} \\\n  {_JSON} -d @-\n"
    )
    return Call("\n".join(lines), curl)


def advise(model: str, asked: Mapping[str, object], base_url: str, *, version: int | None = None) -> Call:
    """Return advice on the rows of a file `rows.csv`.

    Args:
        model: The model's id.
        asked: What an `AdviceRequest` holds beside its rows; what is as it is anyway is left out.
        base_url: Where the service is.
        version: The version; the one behind `default` when None.
    """
    fields = AdviceRequest.model_fields
    said = {
        name: value
        for name, value in asked.items()
        if name in _ADVICE_OPTIONS and value != fields[name].default
    }
    given = [f"{_ADVICE_OPTIONS[name]}={value!r}" for name, value in said.items()]
    given += ['sample="rows.csv"', *([] if version is None else [f"version={version}"])]
    python = [
        "import maas_client",
        "",
        _client(base_url),
        f"job = client.model({model!r}).advise({', '.join(given)})",
        "advice = job.wait(progress=True)",
        "print(advice)",
        "# advice.apply() publishes what it recommends as a new version.",
        "",
    ]
    url = f"{base_url}/v1/models/{quote(model, safe='~')}"
    url += "/advice" if version is None else f"/versions/{version}/advice"
    curl = (
        f"curl {shlex.quote(url)} \\\n  {_KEY} \\\n  {_JSON} -d {shlex.quote(orjson.dumps(said).decode())}\n"
    )
    return Call("\n".join(python), curl)


def _client(base_url: str) -> str:
    return f"client = maas_client.Client(base_url={base_url!r})  # the key: MAAS_API_KEY, or `maas login`"
