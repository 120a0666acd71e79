"""Example calls of a model that are ready to paste, as pure functions of its id and its example input."""

from __future__ import annotations

import json
import keyword
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from maas_client.types import Snippets

if TYPE_CHECKING:
    from collections.abc import Mapping

_EMBEDDING = "embedding"
_COMPARED = "another text to compare with"
# A larger example, such as a picture, is fetched by the snippet instead of standing in it.
_MOST_CHARACTERS = 1500


@dataclass(frozen=True, slots=True)
class _Verb:
    """What a call does.

    Args:
        name: The client's method, and the last part of the path.
        result: What a program calls what comes back.
        options: What the method takes beside inputs.
        is_body: Whether the example is the body; else it is the body's `inputs`.
        told: Options that the call names, by their names in the method and in the body alike.
    """

    name: str
    result: str
    options: frozenset[str]
    is_body: bool
    told: Mapping[str, Any]


_PREDICT = _Verb(
    "predict", "result", frozenset({"inputs", "version", "parameters", "timeout"}), is_body=True, told={}
)
_EXPLAIN_OPTIONS = frozenset(
    {
        "inputs",
        "version",
        "target",
        "method",
        "budget",
        "time_budget",
        "seed",
        "against",
        "faithfulness",
        "parameters",
        "timeout",
    }
)


def snippets(
    model: str,
    example: Mapping[str, Any],
    base_url: str,
    *,
    version: int | None = None,
    explained: str | None = None,
) -> Snippets:
    """Return an example call for the SDK and one for a shell, and the same for why it said that.

    Args:
        model: The model's id: `name` or `account~name`.
        example: Its example input by name.
        base_url: Where the service is.
        version: The version to call; the one behind `default` when None.
        explained: The model's task, where it can be explained; else None, and no such call is shown.
    """
    found = Snippets(
        python=_python(_PREDICT, model, example, base_url, version),
        curl=_curl(_PREDICT, model, example, base_url, version),
    )
    if explained is None:
        return found
    told = {"against": dict.fromkeys(example, _COMPARED)} if explained == _EMBEDDING else {}
    verb = _Verb("explain", "why", _EXPLAIN_OPTIONS, is_body=False, told=told)
    return found.model_copy(
        update={
            "explain_python": _python(verb, model, example, base_url, version),
            "explain_curl": _curl(verb, model, example, base_url, version),
        }
    )


def with_requests(
    model: str, example: Mapping[str, Any], base_url: str, *, version: int | None = None
) -> str:
    """Return the same call as a program that needs nothing but requests; see `snippets`."""
    url = f"{base_url}/v1/models/{quote(model, safe='~')}"
    if version is not None:
        url += f"/versions/{version}"
    lines = [
        "import os",
        "",
        "import requests",
        "",
        """headers = {"Authorization": f"Bearer {os.environ['MAAS_API_KEY']}"}""",
        f"url = {url!r}",
    ]
    if _is_long(example):
        described = "" if version is None else '["manifest"]'
        lines.append("described = requests.get(url, headers=headers, timeout=60).json()")
        body = f'described{described}["example"]'
    else:
        body = repr(dict(example))
    lines.append(f'response = requests.post(f"{{url}}/predict", headers=headers, json={body}, timeout=60)')
    return "\n".join([*lines, "print(response.json())", ""])


def _python(verb: _Verb, model: str, example: Mapping[str, Any], base_url: str, version: int | None) -> str:
    made = [f"client = maas_client.Client(base_url={base_url!r})  # the key: MAAS_API_KEY, or `maas login`"]
    if _is_long(example):
        made.append(f"example = {_example_of(model, version)}")
        arguments = ["inputs=example"]
    elif all(_is_keyword(name, verb.options) for name in example):
        arguments = [f"{name}={value!r}" for name, value in example.items()]
    else:
        arguments = [f"inputs={dict(example)!r}"]
    which = [] if version is None else [f"version={version}"]
    options = [f"{name}={value!r}" for name, value in verb.told.items()]
    listed = ", ".join([repr(model), *which, *arguments, *options])
    made += [f"{verb.result} = client.{verb.name}({listed})", f"print({verb.result})"]
    return "\n".join(["import maas_client", "", *made, ""])


def _example_of(model: str, version: int | None) -> str:
    if version is None:
        return f"client.models.get({model!r}).example"
    return f"client.model({model!r}).versions.get({version}).manifest.example"


def _curl(verb: _Verb, model: str, example: Mapping[str, Any], base_url: str, version: int | None) -> str:
    url = f"{base_url}/v1/models/{quote(model, safe='~')}"
    if version is not None:
        url += f"/versions/{version}"
    key = '-H "Authorization: Bearer $MAAS_API_KEY"'
    kind = "-H 'Content-Type: application/json'"
    if not _is_long(example):
        body = json.dumps(example if verb.is_body else {"inputs": example, **verb.told}, ensure_ascii=False)
        return f"curl {_quoted(f'{url}/{verb.name}')} \\\n  {key} \\\n  {kind} \\\n  -d {_quoted(body)}\n"
    found = (
        'json.load(sys.stdin)["example"]'
        if version is None
        else 'json.load(sys.stdin)["manifest"]["example"]'
    )
    sent = found if verb.is_body else "".join([f'{{"inputs": {found}', *_pairs(verb.told), "}"])
    take = f"import json, sys; print(json.dumps({sent}))"
    return (
        f"curl -s {_quoted(url)} {key} \\\n  | python3 -c {_quoted(take)} \\\n"
        f"  | curl {_quoted(f'{url}/{verb.name}')} {key} {kind} -d @-\n"
    )


def _is_long(example: Mapping[str, Any]) -> bool:
    return len(json.dumps(example)) > _MOST_CHARACTERS


def _is_keyword(name: str, options: frozenset[str]) -> bool:
    """Tell whether an input can be given as a keyword argument."""
    return name.isidentifier() and not keyword.iskeyword(name) and name not in options


def _pairs(told: Mapping[str, Any]) -> list[str]:
    """Return options as they follow another pair of a dict's literal."""
    return [f", {name!r}: {value!r}" for name, value in told.items()]


def _quoted(text: str) -> str:
    """Return a text as one word of a POSIX shell."""
    return "'" + text.replace("'", "'\\''") + "'"
