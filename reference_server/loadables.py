"""How a version in the registry becomes what the pool of models can load."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from maas_client._package import Package, open_package
from maas_client.errors import PackageError
from reference_server.errors import Unavailable
from reference_server.runtime.pool import Loadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.registry.versions import ServingTarget
    from reference_server.settings import Settings

_log = logging.getLogger(__name__)


def loadable(target: ServingTarget, store: ArtifactStore, overrides: Mapping[str, Any]) -> Loadable:
    """Return what the pool needs to load a version.

    Args:
        target: The version.
        store: Where its package is.
        overrides: Serving options over those of its manifest.
    """
    return Loadable(
        target.digest,
        lambda: _package(target, store),
        target.batch_invariant,
        overrides,
        published_as=(target.exact, target.version),
    )


def operators_options(settings: Settings, target: ServingTarget) -> dict[str, Any]:
    """Return the operator's own serving options for a model, by its exact name or by the one called."""
    options = settings.models.get(target.exact, settings.models.get(target.model))
    return options.model_dump(exclude_unset=True) if options else {}


@contextmanager
def _package(target: ServingTarget, store: ArtifactStore) -> Iterator[Package]:
    with ExitStack() as stack:
        try:
            file = stack.enter_context(store.open_reader(target.artifact))
            package = stack.enter_context(open_package(file))
        except FileNotFoundError as error:
            raise _damaged(target, f"{target.artifact} is not in the artifact store") from error
        except PackageError as error:
            raise _damaged(target, str(error)) from error
        if package.digest != target.digest:
            raise _damaged(target, f"its digest is {package.digest}, and {target.digest} was published")
        yield package


def _damaged(target: ServingTarget, reason: str) -> Unavailable:
    """Tell callers that the fault is not theirs, and the operator, in the log, what it is."""
    _log.error(
        "the stored package of %s version %s is damaged: %s; look with `maas-server doctor`, and put the "
        "file back from a backup, or publish the version again",
        target.exact,
        target.version,
        reason,
    )
    return Unavailable(
        f"the stored package of version {target.version} is damaged; the fault is the server's, its operator "
        "finds it in the log; use another version meanwhile",
        code="package_damaged",
        should_retry=False,
    )
