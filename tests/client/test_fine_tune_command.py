"""`maas fine-tune`: metrics in columns, a curve of characters, JSON."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from maas_client import cli
from maas_client.testing import FakeMaas


@pytest.fixture
def fake():
    return FakeMaas()


@pytest.fixture
def maas(fake):
    """Run the command against it."""

    def run(*arguments, code=0):
        with fake.installed():
            done = CliRunner().invoke(cli.main, [str(each) for each in arguments])
        assert done.exit_code == code, done.output
        return done

    return run


@pytest.fixture
def reviews(tmp_path):
    lines = [
        f"a {word} day {n},{label}" for n in range(15) for word, label in (("good", "up"), ("bad", "down"))
    ]
    (tmp_path / "reviews.csv").write_text("\n".join(["said,is", *lines]))
    return tmp_path / "reviews.csv"


def test_a_file_becomes_a_version(fake, maas, reviews):
    """Figures on standard output, for programs; the curve and all else on standard error, for people."""
    done = maas("fine-tune", "-", "moods", reviews, "--text", "said", "--label", "is", "--epochs", 8)
    head, accuracy = done.stdout.splitlines()
    assert head == "METRIC\tVALUE\t95 % INTERVAL\tUNIT"
    assert accuracy.startswith("accuracy\t1\t")
    assert sum("│" in line for line in done.stderr.splitlines()) == 10
    assert "moods version 1: ngrams" in done.stderr
    assert "base" not in fake.calls[0].json
    again = maas("job", "job_1")
    assert again.stdout.splitlines()[1:] == done.stdout.splitlines()


def test_options_go_where_they_belong(fake, maas, reviews):
    """Shares, files, weights of labels."""
    fake.add_model("vectors", task="embedding", answer=lambda inputs: {"embedding": [len(inputs["text"])]})
    where = ("--text", "said", "--label", "is")
    options = ("--validation", reviews, "--test", 0.1, "--class-weight", "up=2", "--no-early-stopping")
    job = json.loads(
        maas("fine-tune", "vectors", "moods", reviews, *where, *options, "--background", "--json").stdout
    )
    assert job["kind"] == "fine-tune"
    body = fake.calls[0].json
    assert (body["base"], body["test"], body["class_weights"]) == ("vectors", 0.1, {"up": 2.0})
    assert len(body["validation"]["inputs"]) == 30
    assert body["early_stopping"] is False
    maas("fine-tune", "-", "moods", reviews, *where, "--class-weight", "balanced")
    assert fake.calls[-1].json["class_weights"] == "balanced"
    done = maas("fine-tune", "-", "moods", reviews, *where, "--class-weight", "up", code=2)
    assert "neither LABEL=WEIGHT" in done.stderr


def test_json_is_the_result(maas, reviews):
    """Whole, and nothing else on standard output."""
    done = maas("fine-tune", "-", "moods", reviews, "--text", "said", "--label", "is", "--json")
    made = json.loads(done.stdout)
    assert (made["model"], made["version"], made["evaluated_on"]) == ("moods", 1, "validation")


def test_columns_of_numbers_make_a_regression(maas, tmp_path):
    """With the loss `mse`."""
    (tmp_path / "a.csv").write_text("\n".join(["x,y,z", *(f"{n},{n % 4},{3 * n}" for n in range(40))]))
    done = maas(
        *("fine-tune", "-", "m", tmp_path / "a.csv", "--label", "z", "--column", "x", "--loss", "mse"),
        *("--epochs", 60, "--learning-rate", 0.05),
    )
    assert "mean_absolute_error" in done.stdout


def test_a_row_that_cannot_be_used_is_wrong_usage(fake, maas, reviews):
    """The line is named, and nothing is sent."""
    reviews.write_text(reviews.read_text() + "\nand this,")
    done = maas("fine-tune", "-", "moods", reviews, "--text", "said", "--label", "is", code=2)
    assert "line 32 of reviews.csv: the label is missing" in done.stderr
    assert fake.calls == []
