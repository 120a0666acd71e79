"""The demo's model in two versions: trained once, then kept by digest outside any data directory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from maas_client._package import open_package
from reference_server import downloads
from reference_server.demo import data

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_server.demo.data import Sentences

MODEL = "text_classification_model"
_DESCRIBED = "model.json"


@dataclass(frozen=True, slots=True)
class DemoVersion:
    """A version to publish.

    Args:
        package: The zip.
        notes: What is new in it.
        default_note: Why `default` moves to it; None if it does not.
    """

    package: Path
    notes: str
    default_note: str | None


@dataclass(frozen=True, slots=True)
class DemoModel:
    """A model to publish, its versions in order."""

    name: str
    versions: tuple[DemoVersion, ...]


def demo_packages(*, log: Callable[[str], None]) -> DemoModel:
    """Return the demo's model, training its versions if the cache has none for this data and these recipes.

    Args:
        log: Told in plain words what takes time or goes wrong.
    """
    sentences = data.sentences(log=log)
    folder = downloads.cache_dir() / "demo" / _digest(sentences)
    try:
        return _kept(folder)
    except FileNotFoundError:
        pass  # nothing was kept
    except ValueError as error:
        log(f"What was kept in {folder} is damaged ({error}).")
    _train(sentences, folder, log)
    return _kept(folder)


def _kept(folder: Path) -> DemoModel:
    described = json.loads((folder / _DESCRIBED).read_text(encoding="utf-8"))
    versions = tuple(
        DemoVersion(folder / version["package"], version["notes"], version["default_note"])
        for version in described
    )
    for version in versions:
        with open_package(version.package):
            pass  # what we publish must be whole, and a package like anyone's
    return DemoModel(MODEL, versions)


def _train(sentences: Sentences, folder: Path, log: Callable[[str], None]) -> None:
    # numpy, onnx and ONNX Runtime are needed only when there is something to train.
    from reference_server.demo.recipes import build_all

    described = []
    for built in build_all(sentences, log=log):
        downloads.write_atomically(folder / built.file, built.package)
        described.append({"package": built.file, "notes": built.notes, "default_note": built.default_note})
    downloads.write_atomically(folder / _DESCRIBED, json.dumps(described, indent=2).encode())


def _digest(sentences: Sentences) -> str:
    """Return a digest of the data and of all the code that turns it into packages."""
    digest = hashlib.sha256(sentences.digest.encode())
    rooms = Path(__file__).parents[1]
    for room in ("demo", "evaluation", "training"):
        for source in sorted((rooms / room).glob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:32]
