"""What a browser's form holds, read within the limits of every other body, and never on the disk in clear."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, cast

from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header
from werkzeug.wsgi import get_input_stream

from reference_server.http import bodies
from reference_server.http.blueprints import UPLOAD
from reference_server.http.spool import Spool

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

# A table may have this many columns, and each is a field.
_MOST_FIELDS = 10_100


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form; of one given twice the first counts unless all are asked for."""

    fields: MultiDict[str, str] = field(default_factory=MultiDict)
    files: MultiDict[str, bytes] = field(default_factory=MultiDict)
    packages: MultiDict[str, FormFile] = field(default_factory=MultiDict)

    def text(self, name: str) -> str:
        """Return a field as it was typed; empty where there is none."""
        return self.fields.get(name, "")

    def optional(self, name: str) -> str | None:
        """Return a field without the spaces around it; None where nothing is in it."""
        return self.text(name).strip() or None

    def number(self, name: str) -> int | str | None:
        """Return a whole number; what is none is returned as typed, for the API to name what is wrong."""
        given = self.optional(name)
        if given is None:
            return None
        return int(given) if given.isascii() and given.isdigit() else given

    def decimal(self, name: str) -> float | str | None:
        """Return a number likewise."""
        given = self.optional(name)
        try:
            number = None if given is None else float(given)
        except ValueError:
            return given
        return given if number is not None and not math.isfinite(number) else number

    def csv(self, name: str) -> bytes:
        """Return what a file holds; where none was chosen, what was typed into the field of the same name."""
        return self.files.get(f"{name}_file") or self.text(name).encode()

    def all(self, name: str) -> list[str]:
        """Return every value of a field that may be given several times, as boxes that are ticked are."""
        return self.fields.getlist(name)

    def words(self, name: str) -> list[str] | None:
        """Return what stands between spaces, commas and line breaks; None for nothing."""
        return self.text(name).replace(",", " ").split() or None

    def close(self) -> None:
        """Give up the files on the disk."""
        for each in self.packages.values():
            each.close()

    def is_ticked(self, name: str) -> bool:
        """Tell whether a box was ticked."""
        return name in self.fields


class FormFile(Spool):
    """A file of a form that is too large for the memory."""

    def seek(self, _offset: int) -> int:
        """Do nothing: the parser rewinds what it hands over, and this is read from its beginning anyway."""
        return 0


def read(environ: WSGIEnvironment, max_bytes: int) -> Form:
    """Return the form that a request brings.

    Args:
        environ: Of the request (PEP 3333).
        max_bytes: The most that its body may have.

    Raises:
        TooLarge: It has more, or more fields than any page here.
    """
    parser = FormDataParser(
        # In memory, where the whole body is already: what callers send is never on the disk in clear.
        stream_factory=_in_memory,
        max_form_memory_size=max_bytes,
        max_content_length=max_bytes,
        max_form_parts=_MOST_FIELDS,
    )
    try:
        _, fields, files = parser.parse_from_environ(environ)
    except RequestEntityTooLarge:
        raise bodies.body_too_large(max_bytes) from None
    read_files = [(name, each.read()) for name, each in files.items(multi=True)]
    return Form(MultiDict(fields), MultiDict(read_files))


def read_packages(environ: WSGIEnvironment, *, max_bytes: int, max_package_bytes: int) -> Form:
    """Return a form whose files are packages.

    Args:
        environ: Of the request; what a server has received already is in it.
        max_bytes: The most that its fields may have.
        max_package_bytes: The most that a file may have.

    Raises:
        TooLarge: There is more of either.
    """
    kind, options = parse_options_header(environ.get("CONTENT_TYPE"))
    received: Spool | None = environ.get(f"maas.{UPLOAD}")
    if received is None:
        stream = get_input_stream(environ, max_content_length=max_package_bytes + max_bytes)
    else:
        stream, _ = received.receive({"content-type": kind})
    opened: list[FormFile] = []

    def on_disk(*_: object, **__: object) -> IO[bytes]:
        opened.append(FormFile(max_bytes=max_package_bytes))
        # The parser writes and seeks, which a spool can.
        return cast("IO[bytes]", opened[-1])

    parser = FormDataParser(
        stream_factory=on_disk, max_form_memory_size=max_bytes, max_form_parts=_MOST_FIELDS
    )
    try:
        _, fields, files = parser.parse(stream, kind, None, options)
    except BaseException as error:
        for each in opened:
            each.close()
        if isinstance(error, RequestEntityTooLarge):
            raise bodies.body_too_large(max_bytes) from None
        raise
    return Form(
        MultiDict(fields),
        packages=MultiDict([(name, cast("FormFile", each.stream)) for name, each in files.items(multi=True)]),
    )


def _in_memory(*_: object, **__: object) -> io.BytesIO:
    return io.BytesIO()
