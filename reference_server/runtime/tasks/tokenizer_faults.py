"""What `tokenizers` raises, and how to say it to a caller.

Its Rust panics where a tokenizer.json contradicts itself, sometimes only at a text that comes upon it. Such a
panic is a `PanicException`, which is no `Exception`: unseen, it would end whatever thread the text was in.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from reference_server.errors import Unprocessable

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_CHARACTERS = 400
# The class that panics have is made by the native module and cannot be imported.
_PANIC = "PanicException"


@contextmanager
def telling_faults(what: str, *, code: str) -> Iterator[None]:
    """Turn what `tokenizers` raises into an answer.

    Args:
        what: What could not be done.
        code: The answer's.

    Raises:
        Unprocessable: In the place of any failure of `tokenizers`.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # tokenizers raises the bare class
        raise _told(what, code, error) from error
    except BaseException as error:
        if type(error).__name__ != _PANIC:
            raise
        raise _told(what, code, error) from error


def _told(what: str, code: str, error: BaseException) -> Unprocessable:
    line = " ".join(str(error).split())
    return Unprocessable(f"{what}: {line[:_MAX_CHARACTERS]}", code=code)
