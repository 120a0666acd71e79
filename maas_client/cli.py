"""The `maas` command, whole: `main`, and every command that the files beside it add to it."""

from __future__ import annotations

from maas_client import (
    _cli_account,  # noqa: F401
    _cli_advise,  # noqa: F401
    _cli_aliases,  # noqa: F401
    _cli_audit,  # noqa: F401
    _cli_capture,  # noqa: F401
    _cli_erasures,  # noqa: F401
    _cli_explain,  # noqa: F401
    _cli_fine_tune,  # noqa: F401
    _cli_jobs,  # noqa: F401
    _cli_keys,  # noqa: F401
    _cli_models,  # noqa: F401
    _cli_packages,  # noqa: F401
    _cli_predict,  # noqa: F401
    _cli_recommend,  # noqa: F401
    _cli_sessions,  # noqa: F401
    _cli_setup,  # noqa: F401
    _cli_shares,  # noqa: F401
    _cli_traffic,  # noqa: F401
    _cli_usage,  # noqa: F401
    _cli_versions,  # noqa: F401
)
from maas_client._cli import main

__all__ = ["main"]
