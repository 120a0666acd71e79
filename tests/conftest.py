"""Small, real model packages for every part's tests."""

from __future__ import annotations

import base64
import gc
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import onnx
import pytest
from onnx import TensorProto, helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from reference_server.settings import usable_cores

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

# Files of these take longest and begin first, so that no core is left with one of them when all else is done.
LONGEST_FIRST = (
    "service",
    "http/hostile",
    "backups",
    "jobs",
    "runtime/test_probe.py",
    "registry/test_deaths.py",
    "catalogue",
    "http",
    "registry",
)
TESTS = Path(__file__).parent

LABELS = ("negative", "positive")
POSITIVE = ("good", "great", "love", "fun", "bright")
NEGATIVE = ("bad", "awful", "hate", "dull", "dark")

Write: TypeAlias = Callable[..., Path]

_OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]


def onnx_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    """Return a model with the opsets that every supported ONNX Runtime knows."""
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=_OPSETS, ir_version=8)


def text_graph(*, softmax: bool = True, input_shape: Sequence[int | str] = ("batch",)) -> onnx.ModelProto:
    """Return a graph that takes strings and counts words it knows: `text` [batch] → `scores` [batch, 2]."""
    words = [*POSITIVE, *NEGATIVE]
    weights = [value for word in words for value in ((-1.0, 1.0) if word in POSITIVE else (1.0, -1.0))]
    nodes = [
        helper.make_node("Reshape", ["text", "flat"], ["texts"]),
        helper.make_node(
            "StringNormalizer",
            ["texts"],
            ["lower"],
            case_change_action="LOWER",
            is_case_sensitive=1,
            locale="C.UTF-8",
        ),
        helper.make_node(
            "Tokenizer",
            ["lower"],
            ["tokens"],
            domain="com.microsoft",
            mark=0,
            mincharnum=1,
            pad_value="",
            tokenexp="[a-z]+",
        ),
        helper.make_node(
            "TfIdfVectorizer",
            ["tokens"],
            ["counts"],
            mode="TF",
            min_gram_length=1,
            max_gram_length=1,
            max_skip_count=0,
            ngram_counts=[0],
            ngram_indexes=list(range(len(words))),
            pool_strings=words,
        ),
        helper.make_node("MatMul", ["counts", "weights"], ["logits"]),
        helper.make_node("Softmax" if softmax else "Identity", ["logits"], ["scores"]),
    ]
    return onnx_model(
        nodes,
        [helper.make_tensor_value_info("text", TensorProto.STRING, input_shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 2])],
        [
            helper.make_tensor("weights", TensorProto.FLOAT, [len(words), 2], weights),
            helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
        ],
    )


def token_graph() -> onnx.ModelProto:
    """Return a graph over token ids, [batch, sequence] → `logits` [batch, 2]: a masked mean of embeddings."""
    size = len(_vocabulary())
    table = [value for word in _vocabulary() for value in _word_logits(word)]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["mask3"]),
        helper.make_node("Mul", ["vectors", "mask3"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "middle"], ["sums"], keepdims=0),
        helper.make_node("ReduceSum", ["mask3", "middle"], ["counts"], keepdims=0),
        helper.make_node("Div", ["sums", "counts"], ["logits"]),
    ]
    sequence = ["batch", "sequence"]
    return onnx_model(
        nodes,
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, sequence)
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [
            helper.make_tensor("table", TensorProto.FLOAT, [size, 2], table),
            helper.make_tensor("last", TensorProto.INT64, [1], [2]),
            helper.make_tensor("middle", TensorProto.INT64, [1], [1]),
        ],
    )


def tokenizer_json() -> str:
    """Return a tokenizer of whole words that brackets a text in [CLS] and [SEP]."""
    vocabulary = {word: index for index, word in enumerate(_vocabulary())}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(word, vocabulary[word]) for word in ("[CLS]", "[SEP]")]
    )
    return tokenizer.to_str()


def write_package(
    folder: Path,
    graph: onnx.ModelProto | bytes,
    *,
    labels: Sequence[str] = LABELS,
    tokenizer: str | None = None,
    preprocessing: Mapping[str, object] | None = None,
    postprocessing: Mapping[str, object] | None = None,
    serving: Mapping[str, object] | None = None,
    task: str = "text-classification",
    example: str | Mapping[str, object] = "a good day",
) -> Path:
    """Write a model package and return its folder."""
    folder.mkdir(parents=True)
    before: dict[str, object] = dict(preprocessing or {})
    if tokenizer is not None:
        (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
        before["tokenizer"] = "tokenizer.json"
    lines = [
        f"task = {json.dumps(task)}",
        'description = "Counts words that please and words that do not."',
        'license = "Apache-2.0"',
        f"labels = {json.dumps(list(labels))}",
    ]
    tables = {
        "example": {"text": example} if isinstance(example, str) else example,
        "preprocessing": before,
        "postprocessing": postprocessing or {},
        "serving": serving or {},
    }
    for table, values in tables.items():
        lines += [f"[{table}]", *(f"{json.dumps(name)} = {_toml(value)}" for name, value in values.items())]
    (folder / "maas.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    content = graph if isinstance(graph, bytes) else graph.SerializeToString(deterministic=True)
    (folder / "model.onnx").write_bytes(content)
    return folder


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{json.dumps(name)} = {_toml(each)}' for name, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)


def _vocabulary() -> list[str]:
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *POSITIVE, *NEGATIVE]


def _word_logits(word: str) -> tuple[float, float]:
    if word == "[PAD]":
        return 100.0, -100.0  # padding that is not masked shows at once
    return (
        -2.0 * (word in POSITIVE) + 2.0 * (word in NEGATIVE),
        2.0 * (word in POSITIVE) - 2.0 * (word in NEGATIVE),
    )


# What is imported and collected stays: to look for garbage in it again and again takes a third of the time.
gc.disable()


def pytest_xdist_auto_num_workers() -> int:
    """Let there be one process more than cores, as tests wait for servers much of the time."""
    return usable_cores() + 1


@pytest.hookimpl(tryfirst=True)  # before xdist's own, which reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, and tell which belong together; within a file nothing moves."""
    demo = {item.path for item in items if "demo" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: (item.path not in demo, _turn(item.path.relative_to(TESTS))))
    for item in items:
        # A file shares what it sets up, and all that use the demo's server share that.
        group = "demo" if item.path in demo else item.path.relative_to(TESTS).as_posix()
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Let the collector look at what comes now, and pass over what stays."""
    if session.config.getoption("loadgroup", default=False) and session.items:
        # The id tells xdist the group; with a pytest where it does not, files set up twice what they share.
        assert "@" in session.items[0].nodeid, "xdist does not group with this pytest: pytest-xdist#1386"
    gc.collect()
    gc.freeze()
    gc.enable()


def _turn(file: Path) -> int:
    for turn, first in enumerate(LONGEST_FIRST):
        if file.is_relative_to(first):
            return turn
    return len(LONGEST_FIRST)


@pytest.fixture(scope="session", autouse=True)
def _statements_compiled_once() -> Iterator[None]:
    """Let all databases of tests share what SQLAlchemy has compiled: most tests open one of their own."""
    from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite as Dialect

    from reference_server.registry import database

    shared = partial(database.create_engine, execution_options={"compiled_cache": {}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "create_engine", shared)
        # The key of what is compiled holds the dialect, of which each engine has one; these are all alike.
        patch.setattr(Dialect, "__eq__", lambda self, other: type(self) is type(other))
        patch.setattr(Dialect, "__hash__", lambda self: hash(type(self)))
        yield


@pytest.fixture(scope="session")
def tracer_provider() -> TracerProvider:
    """Return where spans of programs that use the SDK go; a process has one and cannot change it."""
    # Once this is imported, the SDK makes spans: not in tests of other things.
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider()
    trace.set_tracer_provider(provider)
    return provider


@pytest.fixture(name="onnx_model")
def onnx_model_builder() -> Callable[..., onnx.ModelProto]:
    """Return `onnx_model`, for tests that need a graph of their own."""
    return onnx_model


@pytest.fixture(name="text_graph")
def text_graph_builder() -> Callable[..., onnx.ModelProto]:
    """Return `text_graph`."""
    return text_graph


@pytest.fixture(name="token_graph")
def token_graph_builder() -> Callable[..., onnx.ModelProto]:
    """Return `token_graph`."""
    return token_graph


@pytest.fixture(name="tokenizer_json")
def tokenizer_json_text() -> str:
    """Return the contents of a small `tokenizer.json`."""
    return tokenizer_json()


@pytest.fixture
def package_writer(tmp_path: Path) -> Write:
    """Return `write_package`, writing into a new folder of its own each time."""
    count = iter(range(1000))

    def write(graph: onnx.ModelProto | bytes, **options: object) -> Path:
        return write_package(tmp_path / f"written-{next(count)}", graph, **options)

    return write


@pytest.fixture(scope="session", name="write_package")
def folder_writer() -> Write:
    """Return `write_package`, for what several tests share."""
    return write_package


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a store without rows, to be copied: to make one takes a quarter of a second."""
    from reference_server.registry.database import upgrade

    file = tmp_path_factory.mktemp("database") / "maas.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def text_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a text classifier whose graph tokenises by itself and returns probabilities."""
    return write_package(tmp_path_factory.mktemp("packages") / "text", text_graph())


@pytest.fixture(scope="session")
def token_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a text classifier over token ids that returns logits."""
    return write_package(
        tmp_path_factory.mktemp("packages") / "tokens",
        token_graph(),
        tokenizer=tokenizer_json(),
        preprocessing={"max_tokens": 16, "max_characters": 1000},
        postprocessing={"activation": "softmax"},
    )


@pytest.fixture(scope="session")
def embedding_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small encoder: the masked mean of vectors of words, scaled to length 1."""
    return write_package(
        tmp_path_factory.mktemp("packages") / "vectors",
        token_graph(),
        task="embedding",
        labels=[],
        tokenizer=tokenizer_json(),
        preprocessing={"max_tokens": 16},
        postprocessing={"normalize": True},
    )


def make_wheel(project: str, version: str, members: Mapping[str, bytes]) -> bytes:
    """Return a wheel that pip takes, with these files in it."""
    info = f"{project}-{version}.dist-info"
    files = {
        **members,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    hashes = {name: base64.urlsafe_b64encode(hashlib.sha256(each).digest()) for name, each in files.items()}
    record = "".join(
        f"{name},sha256={hashes[name].decode().rstrip('=')},{len(files[name])}\n" for name in files
    )
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()}.items():
            archive.writestr(name, content)
    return target.getvalue()


@pytest.fixture(name="make_wheel")
def wheel_maker() -> Callable[..., bytes]:
    """Return `make_wheel`."""
    return make_wheel


@pytest.fixture
def offline_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache folder that is not there yet; pip finds nothing, whatever this machine's settings."""
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("MAAS_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder where pip looks for distributions."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture(scope="session")
def gpu():
    """Return the provider of the first GPU, proven; where there is none, skip and say what is missing."""
    from reference_server.runtime.execution_providers import ExecutionProviderError, cuda, prove

    provider = cuda(0)
    try:
        prove(provider)
    except ExecutionProviderError as error:
        pytest.skip(f"needs a GPU: {error}")
    return provider
