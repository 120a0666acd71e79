"""How a version in the registry becomes what the pool of models can load."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from maas_client._package import Package, open_package
from maas_client.errors import PackageError
from reference_server.registry.packages import damaged, open_package_file, telling_damage
from reference_server.runtime.pool import Loadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.registry.database import Database
    from reference_server.registry.versions import ServingTarget
    from reference_server.settings import Settings


def loadable(
    target: ServingTarget, database: Database, store: ArtifactStore, overrides: Mapping[str, Any]
) -> Loadable:
    """Return what the pool needs to load a version.

    Args:
        target: The version.
        database: Where its key is.
        store: Where its package is.
        overrides: Serving options over those of its manifest.
    """
    return Loadable(
        target.digest,
        lambda: _package(target, database, store),
        target.batch_invariant,
        overrides,
        published_as=(target.exact, target.version),
    )


def operators_options(settings: Settings, target: ServingTarget) -> dict[str, Any]:
    """Return the operator's own serving options for a model, by its exact name or by the one called."""
    options = settings.models.get(target.exact, settings.models.get(target.model))
    return options.model_dump(exclude_unset=True) if options else {}


@contextmanager
def _package(target: ServingTarget, database: Database, store: ArtifactStore) -> Iterator[Package]:
    known_as = f"{target.exact} version {target.version} ({target.model_id})"
    with ExitStack() as stack:
        stack.enter_context(telling_damage(known_as))
        file = stack.enter_context(
            open_package_file(
                database,
                store,
                target.artifact,
                target.data_key,
                model_id=target.model_id,
                number=target.version,
            )
        )
        try:
            package = stack.enter_context(open_package(file))
        except PackageError as error:
            raise damaged(known_as, str(error)) from error
        if package.digest != target.digest:
            raise damaged(known_as, f"its digest is {package.digest}, and {target.digest} was published")
        yield package
