"""The checkpoint of large work: a file of JSON lines that says what is done, and goes on from there.

The first line says what the work is. Every further line is one instance: its `index`, a fingerprint of its
`input`, and either its `outputs` and the `call` that made them, or its `error`. Lines are appended in whole
batches; one that was cut short by a crash is dropped when the file is opened again.
"""

from __future__ import annotations

import json
import os
from array import array
from hashlib import blake2b
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from maas_client.errors import ArgumentError
from maas_client.predictions import Call, prediction_of
from maas_client.types import Timing, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maas_client._batching import Row
    from maas_client.errors import MaasError
    from maas_client.predictions import AnyPrediction, Outcome

_FORMAT = "maas_client.predict_many/1"
_NOT_DONE = -1


class Checkpoint:
    """An open checkpoint file; memory holds eight bytes for each instance that is done.

    Args:
        path: The file; it is made, readable by its owner alone, when it is not there.
        work: What the work is: model, version, parameters. A file of other work is refused.

    Raises:
        ArgumentError: The file belongs to other work, or is no checkpoint.
    """

    def __init__(self, path: str | os.PathLike[str], work: Mapping[str, object]) -> None:
        self.path = Path(path)
        # What it will be after a way through JSON, so that a file can be compared with it.
        self._work = json.loads(json.dumps({"format": _FORMAT, **work}))
        self._offsets = array("q")
        self.done = 0
        self.version: int | None = None
        self._file = self._open()
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def restored(self, row: Row) -> AnyPrediction | None:
        """Return what an earlier run predicted for a row; None when that is still to be done.

        Raises:
            ArgumentError: Another instance had this place in that run.
        """
        offset = self._offsets[row.index] if row.index < len(self._offsets) else _NOT_DONE
        if offset == _NOT_DONE:
            return None
        self._file.seek(offset)
        line = json.loads(self._file.readline())
        if line["input"] != _fingerprint(row):
            raise ArgumentError(
                f"instances[{row.index}] is not what it was when {str(self.path)!r} was written: pass the "
                "same instances in the same order, or another checkpoint file"
            )
        call = line["call"]
        known = Call.model_construct(
            **{**call, "usage": Usage(**call["usage"]), "timing": Timing(**call["timing"])}
        )
        return prediction_of(line["outputs"], known)

    def add(self, rows: Sequence[Row], outcomes: Sequence[Outcome]) -> None:
        """Append what came of some rows; it is there when this returns, whatever happens to this process."""
        offset = self._file.seek(0, os.SEEK_END)
        lines = []
        for row, outcome in zip(rows, outcomes, strict=True):
            line = _line({"index": row.index, "input": _fingerprint(row), **_result(outcome)})
            if outcome.prediction is not None:
                self._mark(row.index, offset)
            lines.append(line)
            offset += len(line)
        self._file.write(b"".join(lines))
        self._file.flush()

    def _open(self) -> IO[bytes]:
        try:
            return os.fdopen(
                os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600), "r+b"
            )
        except OSError as error:
            raise ArgumentError(
                f"the checkpoint {str(self.path)!r} cannot be opened: {error.strerror}"
            ) from error

    def _read(self) -> None:
        offset = 0
        for number, line in enumerate(self._file):
            if not line.endswith(b"\n"):
                break
            entry = self._parsed(number, line)
            if number == 0:
                self._check(entry)
            elif "outputs" in entry:
                self._mark(entry["index"], offset)
                self.version = entry["call"]["version"]
            offset += len(line)
        self._file.seek(offset)
        self._file.truncate()
        if not offset:
            self._file.write(_line(self._work))
            self._file.flush()

    def _parsed(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict) or (number and not _is_row(entry)):
            raise ArgumentError(
                f"line {number + 1} of {str(self.path)!r} is not one of a checkpoint; choose another file"
            )
        return entry

    def _check(self, header: dict[str, Any]) -> None:
        for name, value in self._work.items():
            if header.get(name) != value:
                raise ArgumentError(
                    f"{str(self.path)!r} is the checkpoint of other work: its {name} is "
                    f"{header.get(name)!r:.100}, here it is {value!r:.100}; choose another file, or delete "
                    "it to begin anew"
                )

    def _mark(self, index: int, offset: int) -> None:
        if index >= len(self._offsets):
            self._offsets.extend([_NOT_DONE] * (index + 1 - len(self._offsets)))
        self.done += self._offsets[index] == _NOT_DONE
        self._offsets[index] = offset


def _is_row(entry: dict[str, Any]) -> bool:
    index, call = entry.get("index"), entry.get("call")
    return (
        isinstance(index, int)
        and index >= 0
        and ("outputs" not in entry or (isinstance(call, dict) and isinstance(call.get("version"), int)))
    )


def _line(entry: Mapping[str, object]) -> bytes:
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _fingerprint(row: Row) -> str:
    return blake2b(row.body, digest_size=8).hexdigest()


def _result(outcome: Outcome) -> dict[str, object]:
    if outcome.prediction is not None:
        return {
            "outputs": outcome.prediction.outputs,
            "call": outcome.prediction.call.model_dump(mode="json"),
        }
    return {"error": _told(outcome.error)}


def _told(error: MaasError | None) -> dict[str, object]:
    if error is None:
        raise TypeError("an outcome holds a prediction or an error")
    told = {"message": error.message, "status": error.status, "code": error.code, "param": error.param}
    return {"type": type(error).__name__} | {name: value for name, value in told.items() if value is not None}
