"""Write the API reference in `docs/reference/` from the docstrings; `--check` tells whether that was done.

The code is read and not run (griffe), except for the `maas` command, whose pages are click's own help texts.
Only the synchronous face is written out: the asynchronous one is the same, name for name.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import griffe

from maas_client.cli import main as command

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
CONTRACT = sorted((ROOT / "maas_client" / "types").glob("*.py"))
FOLDER = ROOT / "docs" / "reference"
NOTICE = (
    "<!-- Made from the docstrings by tools/make_api_reference.py: change those, then run `make format`. -->"
)
WIDTH = 78


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its file, what it says at its beginning, and the modules whose public objects it lists."""

    name: str
    title: str
    about: str
    modules: tuple[str, ...]
    only: tuple[str, ...] = ()


# Bases that say nothing to a reader: what classes share inside.
UNSAID = frozenset(("Generic[Item]", "Resource", "OfModel"))

PAGES = (
    Page(
        "client",
        "The client",
        "`Client`, and what hangs off it: `client.models`, `client.model(name)`, `client.keys` and so on. "
        "`AsyncClient` has the same names with the same arguments; there, methods that ask the server are "
        "awaited, and what is iterated over is iterated over with `async for`.",
        (
            "_client",
            "_service",
            "_account",
            "_models",
            "_versions",
            "_aliases",
            "_model_handle",
            "_jobs",
            "_fine_tunes",
            "_advice",
            "_traffic",
            "_capture",
            "_audit",
            "_listing",
            "_calls",
        ),
        (
            "Client",
            "ServiceResource",
            "AccountResource",
            "SessionsResource",
            "KeysResource",
            "ModelsResource",
            "ModelHandle",
            "VersionsResource",
            "AliasesResource",
            "JobsResource",
            "Job",
            "FineTunesResource",
            "FineTuneJob",
            "AdviceJob",
            "AppliableAdvice",
            "TrafficResource",
            "CaptureResource",
            "CapturedResource",
            "AuditResource",
            "Listing",
            "RawResponse",
            "RetryDecision",
        ),
    ),
    Page(
        "results",
        "Results",
        "What predictions, explanations, training, inferences and recommendations return.",
        ("predictions", "advice", "explanations", "fine_tunes", "recommendations"),
    ),
    Page(
        "differences",
        "Differences",
        "What `versions.diff` returns.",
        ("differences",),
        ("VersionDiff",),
    ),
    Page(
        "comparisons",
        "Comparisons",
        "Two versions compared on inputs of your own.",
        ("comparisons",),
        ("VersionsCompared",),
    ),
    Page(
        "types",
        "Types of the contract",
        "Every object that travels over HTTP.",
        ("types", *(f"types.{path.stem}" for path in CONTRACT if path.stem != "__init__")),
    ),
    Page("errors", "Errors", "Everything that the SDK raises.", ("errors",)),
    Page(
        "testing",
        "Testing",
        "`FakeMaas`, for the tests of your own code.",
        ("testing", "_fake_calls"),
        ("FakeMaas", "RecordedCall"),
    ),
)


def main() -> None:
    """Write every page, or with `--check` name those that are not up to date."""
    package = griffe.load("maas_client", search_paths=[ROOT], docstring_parser="google")
    pages = {f"{page.name}.md": rendered(package, page) for page in PAGES}
    pages["cli.md"] = rendered_command()
    pages["README.md"] = index()
    stale = [name for name, text in pages.items() if text != existing(FOLDER / name)]
    if "--check" not in sys.argv[1:]:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for name in stale:
            (FOLDER / name).write_text(pages[name], encoding="utf-8")
    elif stale:
        sys.exit(f"docs/reference/{stale[0]} is not what the docstrings say; run `make format`")


def existing(path: Path) -> str:
    """Return a file's text, or nothing where there is no file."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def index() -> str:
    """Return the page that leads to the others."""
    lines = [NOTICE, "# API reference", ""]
    lines += [f"- [{page.title}]({page.name}.md): {page.about}" for page in PAGES]
    lines += ["- [The command line](cli.md): every command of `maas` with its options.", ""]
    return "\n".join(lines)


def rendered(package: griffe.Object, page: Page) -> str:
    """Return one page."""
    blocks = [NOTICE, f"# {page.title}"]
    if page.only:
        blocks.append(page.about)
    for name in page.modules:
        module = package[name]
        if module.docstring and not name.startswith("_"):
            blocks += list(sections(module.docstring))
        for member in module.members.values():
            if is_public(member, page.only):
                blocks += list(described(member))
    return "\n\n".join(blocks) + "\n"


def is_public(member: griffe.Object | griffe.Alias, only: tuple[str, ...]) -> bool:
    """Tell whether an object belongs on a page: its own, public and explained."""
    if member.is_alias or (only and member.name not in only):
        return False
    return (
        not member.name.startswith("_") and bool(member.docstring) and (member.is_class or member.is_function)
    )


def described(thing: griffe.Object) -> Iterator[str]:
    """Describe a class with its members, or a function."""
    if not thing.is_class:
        yield f"## `{thing.name}()`"
        yield from function(thing)
        return
    yield f"## `{thing.name}`"
    bases = ", ".join(f"`{base}`" for base in thing.bases if str(base) not in UNSAID)
    if bases:
        yield f"A kind of {bases}."
    made = thing.members.get("__init__")
    if made is not None and made.is_function and not made.is_alias:
        yield f"```python\n{signature(made).replace('__init__', thing.name, 1).removesuffix(' -> None')}\n```"
    if thing.docstring:
        yield from sections(thing.docstring)
    yield from fields(thing)
    for member in thing.members.values():
        if member.is_alias or member.name.startswith("_") or not member.docstring:
            continue
        if member.is_function:
            yield f"### `{thing.name}.{member.name}()`"
            yield from function(member)
        elif "property" in member.labels:
            yield f"### `{thing.name}.{member.name}`"
            yield f"```python\n{member.name}: {member.annotation}\n```"
            yield from sections(member.docstring)


def fields(thing: griffe.Object) -> Iterator[str]:
    """Give a table of a class's annotated fields, with their defaults."""
    documented = {name for section in parsed(thing.docstring) for name in names_of(section)}
    rows = [
        f"| `{each.name}` | `{escaped(str(each.annotation))}` | {default_of(each)} |"
        for each in thing.members.values()
        if each.is_attribute
        and not each.is_alias
        and each.annotation is not None
        and "property" not in each.labels
        and not each.name.startswith("_")
        and (each.name not in documented or "pydantic" not in each.labels)
        and not each.name.startswith("model_")
    ]
    if rows:
        yield "\n".join(["| field | type | default |", "|---|---|---|", *rows])


def default_of(attribute: griffe.Attribute) -> str:
    """Return a field's default, or its description where `Field(...)` gives one."""
    value = "" if attribute.value is None else str(attribute.value)
    if (said := re.search(r"description='((?:[^'\\]|\\.)*)'", value)) or (
        said := re.search(r'description="((?:[^"\\]|\\.)*)"', value)
    ):
        return escaped(said[1])
    return f"`{escaped(value)}`" if value and not value.startswith("field(") else ""


def function(thing: griffe.Function) -> Iterator[str]:
    """Give a function's signature and its sections."""
    yield f"```python\n{signature(thing)}\n```"
    if thing.docstring:
        yield from sections(thing.docstring)


def signature(thing: griffe.Function) -> str:
    """Return a signature as Python writes it, on several lines where it is long."""
    kinds = griffe.ParameterKind
    parts, star = [], False
    parameters = [each for each in thing.parameters if each.name != "self"]
    positional_only = [each.name for each in parameters if each.kind is kinds.positional_only]
    for each in parameters:
        if each.kind is kinds.keyword_only and not star:
            parts.append("*")
            star = True
        star = star or each.kind is kinds.var_positional
        prefix = {kinds.var_positional: "*", kinds.var_keyword: "**"}.get(each.kind, "")
        annotation = f": {each.annotation}" if each.annotation is not None else ""
        default = f" = {each.default}" if each.default is not None and not prefix else ""
        parts.append(f"{prefix}{each.name}{annotation}{default}")
        if positional_only and each.name == positional_only[-1]:
            parts.append("/")
    returned = f" -> {thing.returns}" if thing.returns is not None else ""
    line = f"{thing.name}({', '.join(parts)}){returned}"
    if len(line) <= WIDTH:
        return line
    inner = "".join(f"    {part},\n" for part in parts)
    return f"{thing.name}(\n{inner}){returned}"


def parsed(docstring: griffe.Docstring | None) -> list[griffe.DocstringSection]:
    """Return the sections of a docstring."""
    return docstring.parse("google", warnings=False) if docstring else []


def names_of(section: griffe.DocstringSection) -> list[str]:
    """Return the names that a section explains."""
    return [each.name for each in section.value] if section.kind.value in ("parameters", "attributes") else []


def sections(docstring: griffe.Docstring) -> Iterator[str]:
    """Give the sections of a docstring as Markdown."""
    for section in parsed(docstring):
        kind = section.kind.value
        if kind == "text":
            yield text(section.value)
        elif kind in ("parameters", "attributes"):
            yield "\n".join(f"- `{each.name}`: {flat(each.description)}" for each in section.value)
        elif kind == "returns":
            yield "Returns: " + " ".join(flat(each.description) for each in section.value)
        elif kind == "raises":
            yield "Raises:\n\n" + "\n".join(
                f"- `{each.annotation}`: {flat(each.description)}" for each in section.value
            )
        elif kind == "admonition":
            yield f"```python\n{section.value.contents}\n```"
        elif kind == "examples":
            yield "```python\n" + "\n".join(value for _, value in section.value) + "\n```"


def text(value: str) -> str:
    """Return prose, with what is indented or drawn in a fence of its own."""
    blocks = []
    for block in value.split("\n\n"):
        if re.search(r"^(    |[├└│])", block, re.MULTILINE):
            blocks.append(f"```text\n{block}\n```" if "─" in block else f"```python\n{dedented(block)}\n```")
        else:
            blocks.append(block)
    return re.sub(r"\n```\n\n```python\n", "\n\n", "\n\n".join(blocks))


def dedented(block: str) -> str:
    """Return an indented block without its indentation."""
    return "\n".join(line.removeprefix("    ") for line in block.splitlines())


def flat(value: str) -> str:
    """Return a description on one line."""
    return " ".join(value.split())


def escaped(value: str) -> str:
    """Return what may stand in a cell of a table."""
    return value.replace("|", "\\|").replace("\n", " ")


def rendered_command() -> str:
    """Return the page of the command line: every command's help."""
    context = click.Context(command, info_name="maas", terminal_width=100)
    blocks = [
        NOTICE,
        "# The command line",
        *(f"{heading}\n\n```text\n{said}\n```" for heading, said in helps(context)),
    ]
    return "\n\n".join(blocks) + "\n"


def helps(context: click.Context) -> Iterator[tuple[str, str]]:
    """Give the heading and the help of a command and of all below it."""
    # Without the machine's own width and language.
    context.color = False
    yield f"## `{context.command_path}`", context.command.get_help(context).rstrip()
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            below = context.command.get_command(context, name)
            if below is not None:
                yield from helps(click.Context(below, parent=context, info_name=name, terminal_width=100))


if __name__ == "__main__":
    os.environ.pop("COLUMNS", None)
    main()
