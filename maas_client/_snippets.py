"""Example calls of a model that are ready to paste, as pure functions of its id and its example input."""

from __future__ import annotations

import json
import keyword
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from maas_client.types import Snippets

if TYPE_CHECKING:
    from collections.abc import Mapping

# What `Client.predict` takes beside inputs.
_OPTIONS = frozenset({"inputs", "version", "parameters", "timeout"})
# A larger example, such as a picture, is fetched by the snippet instead of standing in it.
_MOST_CHARACTERS = 1500


def snippets(
    model: str, example: Mapping[str, Any], base_url: str, *, version: int | None = None
) -> Snippets:
    """Return an example call for the SDK and one for a shell.

    Args:
        model: The model's id: `name` or `account~name`.
        example: Its example input by name.
        base_url: Where the service is.
        version: The version to call; the one behind `default` when None.
    """
    return Snippets(
        python=_python(model, example, base_url, version), curl=_curl(model, example, base_url, version)
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


def _python(model: str, example: Mapping[str, Any], base_url: str, version: int | None) -> str:
    made = [f"client = maas_client.Client(base_url={base_url!r})  # the key: MAAS_API_KEY, or `maas login`"]
    if _is_long(example):
        made.append(f"example = {_example_of(model, version)}")
        arguments = "inputs=example"
    elif all(_is_keyword(name) for name in example):
        arguments = ", ".join(f"{name}={value!r}" for name, value in example.items())
    else:
        arguments = f"inputs={dict(example)!r}"
    which = "" if version is None else f", version={version}"
    made += [f"result = client.predict({model!r}{which}, {arguments})", "print(result)"]
    return "\n".join(["import maas_client", "", *made, ""])


def _example_of(model: str, version: int | None) -> str:
    if version is None:
        return f"client.models.get({model!r}).example"
    return f"client.model({model!r}).versions.get({version}).manifest.example"


def _curl(model: str, example: Mapping[str, Any], base_url: str, version: int | None) -> str:
    url = f"{base_url}/v1/models/{quote(model, safe='~')}"
    if version is not None:
        url += f"/versions/{version}"
    key = '-H "Authorization: Bearer $MAAS_API_KEY"'
    kind = "-H 'Content-Type: application/json'"
    if not _is_long(example):
        body = json.dumps(example, ensure_ascii=False)
        return f"curl {_quoted(f'{url}/predict')} \\\n  {key} \\\n  {kind} \\\n  -d {_quoted(body)}\n"
    found = "json.load(sys.stdin)" if version is None else 'json.load(sys.stdin)["manifest"]'
    take = f'import json, sys; print(json.dumps({found}["example"]))'
    return (
        f"curl -s {_quoted(url)} {key} \\\n  | python3 -c {_quoted(take)} \\\n"
        f"  | curl {_quoted(f'{url}/predict')} {key} {kind} -d @-\n"
    )


def _is_long(example: Mapping[str, Any]) -> bool:
    return len(json.dumps(example)) > _MOST_CHARACTERS


def _is_keyword(name: str) -> bool:
    """Tell whether an input can be given as a keyword argument."""
    return name.isidentifier() and not keyword.iskeyword(name) and name not in _OPTIONS


def _quoted(text: str) -> str:
    """Return a text as one word of a POSIX shell."""
    return "'" + text.replace("'", "'\\''") + "'"
