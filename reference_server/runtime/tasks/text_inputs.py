"""Texts on their way into a graph: checked, then as strings or as token ids.

Two kinds of graph take text. One tokenises by itself and takes strings, `[batch]` or `[batch, 1]`. The other
takes `input_ids`, `attention_mask` and perhaps `token_type_ids`, `[batch, sequence]`, which `tokenizers`
makes from the package's `tokenizer.json`.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from maas_client.types import InputSpec
from reference_server.errors import DeadlineExceeded, Unprocessable
from reference_server.runtime.tasks.chunks import Budget, chunk_by_length
from reference_server.runtime.tasks.faults import json_type
from reference_server.runtime.tasks.instances import InputFault
from reference_server.runtime.tasks.tokenizer_faults import telling_faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tokenizers import Encoding, Tokenizer

    from maas_client._package import Package
    from maas_client.types import TensorSignature, TensorSpec
    from reference_server.runtime.runner import Runner, Tensor

TEXT = "text"

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

# In-graph features are often dense rows as wide as the vocabulary: 256 rows of 30,000 float32 are 31 MB.
_STRING_BUDGET = Budget(rows=256, cells=2**20)
# An encoder's attention takes the square of the tokens by the heads: 16 rows of 512 by 12 heads are 200 MB.
_TOKEN_BUDGET = Budget(rows=128, cells=8192)
_TEXTS_PER_ENCODING = 256
_TOKEN_INPUTS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
_INTEGERS: dict[str, np.dtype[Any]] = {"INT32": np.dtype(np.int32), "INT64": np.dtype(np.int64)}


class TextInput(Protocol):
    """Turns texts into a graph's inputs."""

    @property
    def mask_token(self) -> str | None:
        """What stands for a word that is hidden, where the tokenizer has such a token."""

    def seen(self, text: str) -> int:
        """Return how many characters of a text the graph sees: all, or those before a tokenizer's limit."""

    def chunks(
        self, texts: Sequence[str], *, deadline: float | None
    ) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
        """Yield the graph's inputs for some of the texts at a time, with the indices of those texts."""


def text_input(package: Package, runner: Runner) -> TextInput:
    """Return what feeds texts to a package's graph.

    Raises:
        Unprocessable: Code `model_rejected`: the graph takes neither strings nor token ids, or the
            tokenizer is missing, superfluous or damaged.
    """
    has_tokenizer = package.manifest.preprocessing.tokenizer is not None
    takes_strings = [spec.datatype for spec in runner.tensors.inputs] == ["BYTES"]
    if takes_strings and not has_tokenizer:
        return StringInput(runner.tensors.inputs[0], invariant=runner.batch_invariant)
    if not takes_strings and has_tokenizer:
        return TokenInput(package, runner.tensors, invariant=runner.batch_invariant)
    if takes_strings:
        raise _rejected("the graph takes strings; remove tokenizer.json and preprocessing.tokenizer")
    raise _rejected(
        f"the graph takes {_described(runner.tensors)}; text needs one input of strings, or token ids and a "
        "tokenizer.json named by preprocessing.tokenizer"
    )


def text_spec(package: Package, description: str) -> InputSpec:
    """Return the input of a task that takes one text."""
    most = package.manifest.preprocessing.max_characters
    return InputSpec(name=TEXT, type="string", description=description, max_length=most)


def check_text(package: Package) -> Callable[[object], str]:
    """Return the function that checks a text for a package's task.

    NUL characters are text like any other: ONNX Runtime's strings carry their length.
    """
    most = package.manifest.preprocessing.max_characters

    def check(text: object) -> str:
        if not isinstance(text, str):
            raise InputFault("wrong_type", f"a string is expected, not {json_type(text)}")
        if len(text) > most:
            raise InputFault(
                "input_too_long",
                f"the text has {len(text):,} characters, at most {most:,} are taken; split it",
            )
        check_unicode(text)
        return text

    return check


def check_unicode(text: str) -> None:
    """Check that a text can be written as UTF-8.

    Raises:
        InputFault: Naming the lone surrogate in it.
    """
    if not text.isascii() and (surrogate := _LONE_SURROGATE.search(text)):
        raise InputFault(
            "invalid_text",
            f"the text holds the lone surrogate U+{ord(surrogate[0]):04X} at character {surrogate.start()}, "
            "which is no character of Unicode; send valid UTF-8",
        )


class StringInput:
    """Feeds strings to a graph that tokenises by itself.

    Args:
        spec: The graph's input.
        invariant: Whether rows may share a run.
    """

    mask_token: str | None = None

    def __init__(self, spec: TensorSpec, *, invariant: bool) -> None:
        if len(spec.shape) > 2 or spec.shape[1:] not in ([], [1], [-1]):  # noqa: PLR2004 - [batch, 1]
            raise _rejected(f"the graph's strings have the shape {spec.shape}; expected [-1] or [-1, 1]")
        self._name = spec.name
        self._row_shape = spec.shape[1:] and [1]
        self._budget = _one_by_one(_STRING_BUDGET, spec, invariant=invariant)

    def seen(self, text: str) -> int:
        """Return the text's length: what a graph makes of its strings nobody sees from here."""
        return len(text)

    def chunks(
        self, texts: Sequence[str], *, deadline: float | None
    ) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
        """Yield strings, `[rows]` or `[rows, 1]`; see `TextInput.chunks`."""
        del deadline  # slicing a list takes no time worth watching
        for rows in chunk_by_length([len(text) for text in texts], self._budget):
            strings = np.array([texts[row] for row in rows], dtype=object)
            yield rows, {self._name: strings.reshape([len(rows), *self._row_shape])}


class TokenInput:
    """Feeds token ids to a graph, padded to the longest text of each run.

    Args:
        package: Holds the tokenizer and the largest number of tokens.
        tensors: The graph's inputs; a fixed sequence length is padded to.
        invariant: Whether rows may share a run.
    """

    def __init__(self, package: Package, tensors: TensorSignature, *, invariant: bool) -> None:
        specs = {spec.name: spec for spec in tensors.inputs}
        self._types = {name: _integer_type(spec) for name, spec in specs.items()}
        if "input_ids" not in specs:
            raise _rejected(f"the graph takes {_described(tensors)}; there is no 'input_ids'")
        ids = specs["input_ids"]
        self._width = ids.shape[1] if ids.shape[1] > 0 else None
        self._budget = _one_by_one(_TOKEN_BUDGET, ids, invariant=invariant)
        self._tokenizer = _tokenizer(package, limit=self._width)
        self._pads = {"input_ids": _pad_id(self._tokenizer)}
        self.mask_token = _mask_token(self._tokenizer)
        self._tokenizer.no_padding()

    def seen(self, text: str) -> int:
        """Return where the last token ends that the graph gets; the text's length where nothing is cut."""
        with telling_faults("the model's tokenizer cannot take this text", code="model_failed"):
            encoding = self._tokenizer.encode(text)
        if not encoding.overflowing:
            return len(text)
        return max((end for _, end in encoding.offsets), default=0)

    def chunks(
        self, texts: Sequence[str], *, deadline: float | None
    ) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
        """Yield token ids, `[rows, tokens]`; see `TextInput.chunks`."""
        encodings = self._encode(texts, deadline)
        for rows in chunk_by_length([len(encoding) for encoding in encodings], self._budget):
            yield rows, self._tensors([encodings[row] for row in rows])

    def _encode(self, texts: Sequence[str], deadline: float | None) -> list[Encoding]:
        encodings: list[Encoding] = []
        for start in range(0, len(texts), _TEXTS_PER_ENCODING):
            if deadline is not None and time.monotonic() >= deadline:
                raise DeadlineExceeded("the time for this call ran out while its texts were tokenised")
            with telling_faults("the model's tokenizer cannot take this text", code="model_failed"):
                encodings += self._tokenizer.encode_batch_fast(texts[start : start + _TEXTS_PER_ENCODING])
        return encodings

    def _tensors(self, encodings: list[Encoding]) -> dict[str, Tensor]:
        # At least one token: kernels differ in whether they bear an empty axis.
        width = self._width or max(1, *(len(encoding) for encoding in encodings))
        tensors: dict[str, Tensor] = {}
        for name, kind in self._types.items():
            tensor = np.full((len(encodings), width), self._pads.get(name, 0), kind)
            for row, encoding in enumerate(encodings):
                tensor[row, : len(encoding)] = getattr(encoding, _TOKEN_INPUTS[name])
            tensors[name] = tensor
        return tensors


def _one_by_one(budget: Budget, spec: TensorSpec, *, invariant: bool) -> Budget:
    fixed = spec.shape[0] if spec.shape else -1
    if fixed > 1:
        raise _rejected(
            f"the graph's batch is fixed at {fixed}; export it with a dynamic first axis or a batch of 1"
        )
    return Budget(1, budget.cells) if fixed == 1 or not invariant else budget


def _integer_type(spec: TensorSpec) -> np.dtype[Any]:
    if spec.name not in _TOKEN_INPUTS or spec.datatype not in _INTEGERS or len(spec.shape) != 2:  # noqa: PLR2004
        raise _rejected(
            f"the graph's input {spec.name!r} is {spec.datatype} {spec.shape}; token graphs take "
            f"{', '.join(_TOKEN_INPUTS)} as INT64 or INT32 [-1, -1]"
        )
    return _INTEGERS[spec.datatype]


def _tokenizer(package: Package, *, limit: int | None) -> Tokenizer:
    from tokenizers import Tokenizer

    preprocessing = package.manifest.preprocessing
    content, most = package.read(str(preprocessing.tokenizer)), preprocessing.max_tokens
    with telling_faults("tokenizer.json cannot be read", code="model_rejected"):
        tokenizer = Tokenizer.from_buffer(content)
        tokenizer.enable_truncation(max_length=most if limit is None else min(most, limit))
    return tokenizer


def _pad_id(tokenizer: Tokenizer) -> int:
    """Return the id that fills rows up; what it is hardly matters where the attention mask is 0."""
    if tokenizer.padding:
        return int(tokenizer.padding["pad_id"])
    found = (tokenizer.token_to_id(name) for name in ("[PAD]", "<pad>"))
    return next((identifier for identifier in found if identifier is not None), 0)


def _mask_token(tokenizer: Tokenizer) -> str | None:
    """Return the token that stood for hidden words in training; BERT's and RoBERTa's kinds name it so."""
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    return next((name for name in ("[MASK]", "<mask>") if name in special), None)


def _described(tensors: TensorSignature) -> str:
    return ", ".join(f"{spec.name} ({spec.datatype} {spec.shape})" for spec in tensors.inputs) or "no inputs"


def _rejected(message: str) -> Unprocessable:
    return Unprocessable(message, code="model_rejected")
