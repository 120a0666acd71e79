"""Asking a person for what a log-in needs: at a terminal, or in a notebook's own input field."""

from __future__ import annotations

import sys
from getpass import getpass

from maas_client._masking import Masked
from maas_client.errors import ArgumentError

_UNATTENDED = (
    "login needs email= and password=, and there is nobody to ask: no terminal, no notebook with input"
)


def missing(email: str | None, password: Masked | None) -> tuple[str, Masked]:
    """Return e-mail address and password, asking for what was not given; the password is not shown.

    Raises:
        ArgumentError: Something is missing and there is nobody to ask.
    """
    if email is not None and password is not None:
        return email, password
    if not (_in_notebook() or (sys.stdin is not None and sys.stdin.isatty())):
        raise ArgumentError(_UNATTENDED)
    try:
        return email or input("E-mail: ").strip(), password or Masked(getpass("Password: "))
    except (EOFError, NotImplementedError) as error:  # the second is what a kernel without input raises
        raise ArgumentError(_UNATTENDED) from error


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
