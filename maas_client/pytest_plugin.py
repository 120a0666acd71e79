"""The fixture `fake_maas`, which pytest finds by itself where `maas-client` is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maas_client.testing import FakeMaas


@pytest.fixture
def fake_maas() -> Iterator[FakeMaas]:
    """Give a `maas_client.testing.FakeMaas` that serves every client made during the test."""
    from maas_client.testing import FakeMaas

    with FakeMaas().installed() as fake:
        yield fake
