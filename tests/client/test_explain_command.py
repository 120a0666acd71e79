"""`maas explain`: colours and signs at a terminal, columns in a pipe."""

from __future__ import annotations

import io
import json

import pytest
from click.testing import CliRunner
from rich.console import Console

from maas_client import _cli_explain, cli
from maas_client.testing import FakeMaas


@pytest.fixture
def fake():
    made = FakeMaas()
    made.add_model("mood", labels=["sad", "glad"], answer=_mood, versions=2)
    made.add_model("price", task="tabular-regression", inputs=["rooms"], answer=_price)
    return made


def _mood(inputs):
    words = inputs["text"].split()
    return "glad" if "lovely" in words and "dull" not in words else "sad"


def _price(inputs):
    return {"value": inputs["rooms"]}


@pytest.fixture
def maas(fake):
    """Run the command against it."""

    def run(*arguments, code=0, text=None):
        with fake.installed():
            done = CliRunner().invoke(cli.main, arguments, input=text)
        assert done.exit_code == code, done.output
        return done

    return run


def shown(fake, text, *, colours=True):
    """Return what a terminal shows of a text."""
    explanation = fake.client().explain("mood", text=text, target="glad")
    console = Console(
        file=io.StringIO(), force_terminal=True, no_color=not colours, color_system="standard", width=200
    )
    console.print(_cli_explain.coloured(explanation, "text"), soft_wrap=True)
    return console.file.getvalue()


def test_in_a_pipe_there_are_columns(maas):
    """The heaviest first on standard output; how they add up, and what made them, on standard error."""
    done = maas("explain", "mood", "so lovely", "--target", "glad")
    assert done.stdout.splitlines() == [
        "VALUE\tERROR\tFEATURE\tINPUT",
        "+0.8\t—\tlovely\ttext",
        "0\t—\tso\ttext",
    ]
    told = done.stderr.splitlines()
    assert told[0] == "glad: 0.9 = baseline 0.1 +0.8 by the words"
    assert told[1].startswith("Without its most important words the score falls by 0.8")
    assert "\x1b" not in done.output


def test_figures_in_a_pipe_are_numbers(maas):
    """ASCII, without commas: what `awk` and `float` read."""
    done = maas("explain", "price", "-f", "-", text='{"rooms": -12345}')
    assert float(done.stdout.splitlines()[1].split("\t")[0]) == -12345
    words = " ".join(["lovely"] * 6 + ["dull"] * 6)
    lines = maas("explain", "mood", words, "--target", "glad").stdout.splitlines()
    values = [line.split("\t") for line in lines[1:]]
    assert any(float(value) < 0 for value, *_ in values)
    assert all(float(error) >= 0 for _, error, *_ in values)


def test_every_option_goes_into_the_call(maas, fake):
    """Seconds as milliseconds, a version into the path."""
    options = "--target glad --method fast --budget 99 --time-budget 0.5 --seed 4 --against other --version 1"
    maas("explain", "mood", "-", *options.split(), text="a lovely day")
    assert fake.calls[-1].path == "/v1/models/mood/versions/1/explain"
    assert fake.calls[-1].json == {
        "inputs": {"text": "a lovely day"},
        "target": "glad",
        "method": "fast",
        "budget": 99,
        "time_budget_ms": 500.0,
        "seed": 4,
        "against": {"text": "other"},
        "faithfulness": True,
        "parameters": {},
    }


def test_as_json_it_is_the_explanation(maas):
    """Whole, for scripts."""
    told = json.loads(maas("explain", "mood", "so lovely", "--json").stdout)
    assert (told["target"], len(told["attributions"])) == ("glad", 2)


def test_a_terminal_shows_colours_and_signs(fake):
    """The heaviest on a ground, the lighter ones in colour, the light ones as they are."""
    text = shown(fake, "a lovely dull day")
    assert "\x1b[1;37;44mlovely\x1b[0m⁺" in text
    assert "\x1b[1;37;41mdull\x1b[0m⁻" in text
    assert text.startswith("a ")
    assert text.rstrip("\n").endswith(" day")


def test_without_colours_the_signs_tell(fake):
    """As with NO_COLOR."""
    text = shown(fake, "a lovely\n dull day", colours=False)
    assert "lovely\x1b[0m⁺\n" in text
    assert ";44" not in text
    assert ";41" not in text


def test_a_text_cannot_steer_the_terminal(fake):
    """Control characters become spaces, so that the words stay where they are."""
    text = shown(fake, "a\x1b[31m \x07lovely lovely")
    assert "\x1b[31m" not in text
    assert "\x07" not in text


def test_a_line_of_a_file_is_explained_at_once(maas, fake):
    """With inputs by name, as tables need."""
    done = maas("explain", "price", "-f", "-", text='{"rooms": 3}\n\n')
    assert done.stdout.splitlines()[1] == "+3\t—\trooms\trooms"
    assert fake.calls[-1].template == "/v1/models/{model}/explain"


def test_several_lines_are_a_job(maas):
    """Which also tells what counts over all of them; a job's command shows the same."""
    rows = '{"text": "a lovely day"}\n{"text": "a dull day"}\n'
    done = maas("explain", "mood", "-f", "-", "--target", "glad", text=rows)
    heads, first, *_ = (line.split("\t") for line in done.stdout.splitlines())
    assert heads == ["FEATURE", "INPUT", "MEAN |VALUE|", "95 % INTERVAL", "MEAN", "ROWS"]
    assert first == ["lovely", "text", "0.8", "—", "+0.8", "1"]
    assert done.stderr.strip() == "mood version 2 on cpu, 2 rows"
    job = maas("explain", "mood", "-f", "-", "--background", "--target", "glad", text=rows).stdout.strip()
    assert first == maas("job", job).stdout.splitlines()[2].split("\t")
    told = json.loads(maas("explain", "mood", "-f", "-", "--json", text=rows).stdout)
    assert (told["rows"], len(told["explanations"])) == (2, 2)


@pytest.mark.parametrize(
    ("arguments", "text", "said"),
    [
        ((), "", "one of them"),
        (("a", "-f", "-"), "", "one of them"),
        (("-f", "-"), "{", "line 1 is not JSON"),
        (("-f", "-"), "[1]", "line 1 is no JSON object"),
        (("a", "--method", "magic"), "", "'magic' is not one of"),
        (("-f", "-"), "", "inputs has 0 instances"),
    ],
)
def test_wrong_usage_says_what_is_right(maas, arguments, text, said):
    """With exit code 2."""
    assert said in maas("explain", "mood", *arguments, text=text, code=2).output
