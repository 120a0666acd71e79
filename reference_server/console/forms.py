"""What a browser's form holds, read within the limits of every other body, and never on the disk."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from reference_server.http import bodies

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

# A table may have this many columns, and each is a field.
_MOST_FIELDS = 10_100


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form; of one given twice the first counts unless all are asked for."""

    fields: MultiDict[str, str] = field(default_factory=MultiDict)
    files: MultiDict[str, bytes] = field(default_factory=MultiDict)

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

    def all(self, name: str) -> list[str]:
        """Return every value of a field that may be given several times, as boxes that are ticked are."""
        return self.fields.getlist(name)

    def words(self, name: str) -> list[str] | None:
        """Return what stands between spaces, commas and line breaks; None for nothing."""
        return self.text(name).replace(",", " ").split() or None

    def is_ticked(self, name: str) -> bool:
        """Tell whether a box was ticked."""
        return name in self.fields


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


def _in_memory(*_: object, **__: object) -> io.BytesIO:
    return io.BytesIO()
