"""The README's commands and code, run; and its two languages, held together."""

import json
import re
import shlex
import shutil
import sys
import tomllib
from pathlib import Path

import click
import pytest

from maas_client import cli as user_cli
from reference_server import cli as server_cli

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(file, language=None):
    found = BLOCK.findall((ROOT / file).read_text(encoding="utf-8"))
    return [code for kind, code in found if language in (None, kind)]


def headings(file):
    text = BLOCK.sub("", (ROOT / file).read_text(encoding="utf-8"))
    return [line.split(" ")[0] for line in text.splitlines() if line.startswith("#")]


def commands():
    """Return every command line of the README's shell blocks, without comments."""
    lines = [line for code in blocks("README.md", "sh") for line in code.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.fixture(scope="module")
def reader(demo, tmp_path_factory):
    """Run code as somebody does who follows the page from its top, with a profile of their own."""
    folder = tmp_path_factory.mktemp("reader")
    variables = {
        "MAAS_CONFIG_FILE": str(folder / "config.toml"),
        "MAAS_PASSWORD": "correct horse battery staple",
    }

    def run(*command, text=None, **more):
        done = demo.run(*command, text=text, **variables, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def outputs(reader):
    """Run the page's Python blocks from top to bottom: whoever follows it is logged in after them."""
    return [reader(sys.executable, "-W", "error", "-c", code) for code in blocks("README.md", "python")]


def test_the_python_blocks_run_from_top_to_bottom(outputs):
    """Register, log in with save=True, the SDK in ten lines, the contract in ten lines."""
    assert "text_classification_model" in outputs[1]
    assert "'predictions': [{'label': " in outputs[2]


@pytest.mark.usefixtures("outputs")
def test_the_commands_of_the_user_run(reader, text_package, tmp_path):
    """Every `maas` line of the page, in its order, the package being the page's own manifest."""
    (manifest,) = blocks("README.md", "toml")
    package = tmp_path / "my_model"
    shutil.copytree(text_package, package)
    (package / "maas.toml").write_text(manifest, encoding="utf-8")
    ran = 0
    for code in blocks("README.md", "sh"):
        for line in code.splitlines():
            if re.match(r"(echo .*\| )?maas ", line):
                reader("sh", "-c", line.replace("my_model/", str(package)))
                ran += 1
    assert ran == 10


def test_the_inline_commands_exist():
    """Whatever `maas …` or `maas-server …` the text names has such a command and such options."""
    text = BLOCK.sub("", (ROOT / "README.md").read_text(encoding="utf-8"))
    inline = [shlex.split(code) for code in re.findall(r"`(maas(?:-server)? [^`]+)`", text)]
    assert len(inline) >= 5
    for words in [*inline, *commands()]:
        name = words[0].rsplit("/", 1)[-1]
        if name in ("maas", "maas-server"):
            parse(user_cli.main if name == "maas" else server_cli.main, words[1:])


def parse(command, words):
    """Parse as click would, without running anything."""
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, words
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= known, words


def test_the_make_targets_exist():
    """`make X` is only ever said of targets that there are."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)", text)) - {"alone"}
    assert {"demo", "test", "check"} <= named <= targets


def test_the_extras_and_files_exist():
    """What pip is told to install, and every path that the page names, is there."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in re.findall(r"'\.\[([a-z-]+)\]'", text):
        assert extra in extras
    for path in re.findall(r"`((?:maas_client|reference_server|examples|docs|tests)/[\w./]*)`", text):
        assert (ROOT / path).exists(), path


def test_both_languages_say_the_same():
    """Same headings in number and level, same code blocks."""
    assert headings("README.md") == headings("README.zh-CN.md")
    assert blocks("README.md") == blocks("README.zh-CN.md")
    assert len(blocks("README.md")) == 15


# A guide's blocks in their order, in one process but each with names of its own: to start one takes a second.
READ = """\
import json, sys
for code in json.loads(sys.argv[1]):
    exec(compile(code, "guide", "exec"), {"__name__": "__main__"})
"""
GUIDES = sorted(
    path.name
    for path in (ROOT / "docs" / "guides").glob("*.md")
    if blocks(path, "python") and path.name != "testing.md"
)


@pytest.mark.parametrize("guide", GUIDES)
def test_the_guides_run(demo, guide, tmp_path, request):
    """Every Python block, in its order, with a key in the environment and warnings as errors."""
    if guide == "explaining.md":
        # It explains more than the demo's model.
        request.getfixturevalue("listed")
    # What a terminal draws over and over.
    quiet = [
        code.replace("progress=True", "progress=False") for code in blocks(f"docs/guides/{guide}", "python")
    ]
    done = demo.run(
        *("sh", "-c", 'cd "$0" && exec "$@"', tmp_path),
        *(sys.executable, "-W", "error", "-c", READ, json.dumps(quiet)),
        MAAS_API_KEY=demo.ready["api_key"],
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_documentation_leads_to_files_that_exist():
    """No link within the documentation is broken."""
    for page in (ROOT / "docs").rglob("*.md"):
        for target in re.findall(r'(?:\]\(|src="|srcset=")([^)#:"]+)', page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_the_guide_to_testing_is_tested(pytester):
    """Its two blocks are a test file and a script."""
    test_file, script = blocks("docs/guides/testing.md", "python")
    pytester.makepyfile(test_file)
    pytester.runpytest_inprocess().assert_outcomes(passed=2)
    done = pytester.run(sys.executable, "-c", script)
    assert done.outlines == ["250000.0"]
