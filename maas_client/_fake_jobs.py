"""Jobs of a `FakeMaas`, which have all ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._fake_calls import page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maas_client._fake_calls import RecordedCall
    from maas_client._fake_world import Handler, World


def _list_jobs(world: World, made: RecordedCall) -> object:
    wanted = {name: made.query[name] for name in ("kind", "state") if name in made.query}
    newest_first = reversed(world.jobs.values())
    return page(job for job in newest_first if all(job[name] == wanted[name] for name in wanted))


def _get_job(world: World, made: RecordedCall) -> object:
    return world.job(made.parts["job"])


ROUTES: Mapping[str, Handler] = {"GET /v1/jobs": _list_jobs, "GET /v1/jobs/{job}": _get_job}
