"""The listed models, for real: downloaded by pip, published by the command, called by clients."""

import base64
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import openai
import pytest
from PIL import Image

from reference_server import downloads
from reference_server.catalogue import scikit_data
from reference_server.catalogue.sources import SCIKIT_LEARN, Wheels
from reference_server.catalogue.table import find
from reference_server.evaluation import metrics

# The largest download is 72 MB, and a line may be slow.
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
TEXTS = [
    "The cat sleeps on the sofa.",
    "A kitten is napping on the couch.",
    "Interest rates rose again this quarter.",
    "The central bank tightened monetary policy once more, and it did so for the third time in a year.",
]


@pytest.fixture(scope="module")
def add(demo):
    """Return a function that adds a listed model to the demo's store while its server runs, once."""
    said = {}

    def once(name):
        if name not in said:
            fetch(demo, name)
            folder = demo.folder / "data"
            done = demo.run("maas-server", "models", "add", name, "--public", "--data-dir", folder)
            assert done.returncode == 0, done.stdout + done.stderr
            said[name] = done.stdout
        return said[name]

    return once


def fetch(demo, name):
    """Fill the server's cache with this machine's own pip, as the server's has no index."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_CACHE_DIR", demo.environment["MAAS_CACHE_DIR"])
        for source in find(name).sources:
            try:
                downloads.fetch(source)
            except downloads.IndexUnreachable as error:
                pytest.skip(str(error))


def png(picture):
    target = io.BytesIO()
    picture.save(target, "PNG")
    return target.getvalue()


@pytest.fixture
def embed(demo):
    """Return a function from texts to their vectors, by the `openai` client."""
    with openai.OpenAI(base_url=f"{demo.url}/v1", api_key=demo.ready["api_key"]) as client:
        yield lambda model, texts: np.array(
            [each.embedding for each in client.embeddings.create(model=model, input=texts).data]
        )


@pytest.fixture
def client(demo):
    with demo.client(api_key=demo.ready["api_key"]) as client:
        yield client


@pytest.fixture
def held_out(demo):
    """Return a function that reads a data set's held-out rows, as the training parted them."""
    wheels = Wheels({SCIKIT_LEARN: Path(demo.environment["MAAS_CACHE_DIR"], "downloads", SCIKIT_LEARN.file)})
    return lambda read: scikit_data.split(read(wheels)).held_out


@pytest.mark.parametrize(("name", "invariant"), [("bge-small-en", False), ("minilm", True)])
def test_an_encoder_embeds(add, embed, client, name, invariant):
    """Like texts are near, unlike far; vectors have length 1; batch invariance is found, and kept to."""
    said = add(name)
    assert ("runs row by row" in said) is not invariant
    assert client.model(name).versions.get(1).batch_invariant is invariant
    together = embed(name, TEXTS)
    assert together.shape == (4, 384)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    cosines = together @ together.T
    assert min(cosines[0, 1], cosines[2, 3]) > max(cosines[:2, 2:].ravel()) + 0.3
    alone = np.concatenate([embed(name, [text]) for text in TEXTS])
    if invariant:
        np.testing.assert_allclose(alone, together, atol=1e-5)
    else:
        np.testing.assert_array_equal(alone, together)


def test_a_model_is_added_once(add, demo):
    """Whatever has been added is found again by its content: built anew, to the same bytes."""
    add("iris")
    done = demo.run("maas-server", "models", "add", "iris", "--data-dir", demo.folder / "data")
    assert "operator~iris, version 1, was published already (public)" in done.stdout


def test_the_hint_runs(add, demo):
    """What the command says to call the model with is a line for the shell."""
    hint = add("iris").splitlines()[-1]
    done = demo.run("sh", "-c", hint, MAAS_API_KEY=demo.ready["api_key"])
    assert done.stdout.startswith("setosa"), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "columns"), [("iris", "sepal_length"), ("digits", "image"), ("diabetes", "age")]
)
def test_what_a_manifest_measures_is_what_the_server_reaches(add, client, held_out, name, columns):
    """The held-out rows, sent to the server, give the stated figures; and they are good enough."""
    add(name)
    model = client.models.get(name)
    rows = held_out(getattr(scikit_data, name))
    if name == "digits":
        pixels = np.rint(rows.features * 255 / 16).astype(int).reshape(-1, 8, 8)
        instances = [{"image": picture.tolist()} for picture in pixels]
    else:
        names = [each.name for each in model.signature.inputs]
        instances = [dict(zip(names, row, strict=True)) for row in rows.features.tolist()]
    assert columns in instances[0]
    results = client.predict_batch(name, instances)
    stated = {metric.name: metric.value for metric in model.metrics}
    assert {metric.rows for metric in model.metrics} == {len(instances)}
    if name == "diabetes":
        measured = metrics.of_values(np.array([result["value"] for result in results]), rows.targets)
        assert measured["r_squared"] > 0.35
    else:
        scores = np.array([list(result.scores.values()) for result in results])
        measured = metrics.of_probabilities(scores, rows.targets)
        assert measured["accuracy"] >= {"iris": 0.9, "digits": 0.95}[name]
    assert measured == pytest.approx(stated, abs=1e-4)


def test_a_digit_is_read_from_a_picture(add, client, held_out):
    """A PNG many times as large as the model's own pixels."""
    add("digits")
    rows = held_out(scikit_data.digits)
    for ink, digit in list(zip(rows.features, rows.targets, strict=True))[:10]:
        picture = Image.fromarray(np.rint(ink.reshape(8, 8) * 255 / 16).astype(np.uint8))
        file = png(picture.resize((64, 64), Image.Resampling.NEAREST))
        result = client.predict("digits", image=base64.b64encode(file).decode())
        assert result.label == str(digit)


def blocks(page="models.md"):
    """Return the Python blocks of a page, by default of the one on these models."""
    page = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def test_the_page_compares_texts(add, demo):
    """The page's first block, run: each text is its own best match, and the two cats are alike."""
    add("minilm")
    done = demo.run(sys.executable, "-W", "error", "-c", blocks()[0], MAAS_API_KEY=demo.ready["api_key"])
    assert done.returncode == 0, done.stderr
    cosines = np.array(json.loads(done.stdout))
    assert cosines[0, 1] > 0.5 > cosines[0, 2]


def test_the_guide_explains_them(add, demo, tmp_path):
    """The blocks of the guide to explanations that are about these models; what happens makes texts alike."""
    for name in ("iris", "diabetes", "digits", "minilm"):
        add(name)
    said = {}
    for code in blocks("guides/explaining.md"):
        for name in re.findall(r'explain\("(iris|digits|minilm)"', code):
            done = demo.run(
                "sh", "-c", 'cd "$0" && exec "$@"', tmp_path, sys.executable, "-W", "error", "-c", code,
                MAAS_API_KEY=demo.ready["api_key"],
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            said[name] = done.stdout
    assert sorted(said) == ["digits", "iris", "minilm"]
    # The heaviest words first.
    heaviest = [line.split()[-1] for line in said["minilm"].splitlines()[1:3]]
    assert set(heaviest) <= {"cat", "sleeps", "sofa"}


@pytest.mark.parametrize(
    ("content", "label"),
    [
        (b'[project]\nname = "thing"\nversion = "1.0"\ndependencies = ["numpy>=2"]\n', "toml"),
        ((ROOT / "reference_server" / "app.py").read_bytes(), "python"),
        ((ROOT / "README.md").read_bytes(), "markdown"),
        (png(Image.effect_noise((64, 64), 40)), "png"),
    ],
    ids=["toml", "python", "markdown", "png"],
)
def test_the_page_tells_files_apart(add, demo, tmp_path, content, label):
    """The page's second block, run beside a file of each type under one and the same name."""
    add("magika")
    (tmp_path / "maas.toml").write_bytes(content)
    done = demo.run(
        "sh", "-c", 'cd "$0" && exec "$@"', tmp_path, sys.executable, "-W", "error", "-c", blocks()[1],
        MAAS_API_KEY=demo.ready["api_key"],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == label
