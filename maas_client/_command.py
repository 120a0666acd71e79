"""Where the `maas` command begins: it says what to install where the extra is missing."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command."""
    try:
        from maas_client.cli import main as run
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit(f"maas needs {error.name}, which the extra brings: pip install 'maas-client[cli]'")
    run()
