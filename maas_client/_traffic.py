# Made from _async_traffic.py by tools/make_sync_face.py: change that file, then run `make format`.
"""A model's traffic: which versions share the calls that name none, and which get copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._operations import traffic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from maas_client._listing import Send
    from maas_client.types import Traffic


class TrafficResource:
    """Who serves the calls of one model that name no version; changes are its owner's."""

    def __init__(self, send: Send, model: str) -> None:
        self._send = send
        self._model = model

    def get(self) -> Traffic:
        """Return the split and the shadows that are in force."""
        return self._send(traffic.get(self._model))

    def split(
        self,
        weights: Mapping[int, float],
        *,
        shadows: Iterable[int] = (),
        note: str = "",
        expected_revision: int | None = None,
        force: bool = False,
    ) -> Traffic:
        """Let versions share the calls that name none, and give others copies; all are loaded first.

        A caller stays with one version: by the `sticky_id` of `client.model(name, sticky_id=…)`, or else by
        the key. When weights change, no more callers move than have to.

        Args:
            weights: The versions with their weights, on any scale, such as `{3: 95, 4: 5}`; at most ten.
            shadows: Versions that get a copy of each call in the background, when the server has time.
            note: Why, for the record.
            expected_revision: The `revision` that you saw; another's change since then is an error.
            force: Take versions whose signature breaks calls that work with the version of `default`.

        Raises:
            ConflictError: A version is retired, or breaks calls without `force`; the message says how.
            PreconditionFailedError: The traffic is no longer at the expected revision.
            UnavailableError: A version cannot be loaded, or not beside the others.
        """
        return self._send(
            traffic.change(
                self._model,
                weights,
                shadows=shadows,
                note=note,
                expected_revision=expected_revision,
                force=force,
            )
        )

    def shadow(self, *versions: int, note: str = "", expected_revision: int | None = None) -> Traffic:
        """Give versions copies while the alias `default` serves alone; arguments as in `split`."""
        return self._send(
            traffic.change(self._model, {}, shadows=versions, note=note, expected_revision=expected_revision)
        )

    def promote(
        self, version: int, *, note: str = "", expected_revision: int | None = None, force: bool = False
    ) -> Traffic:
        """Move `default` to a version and end the split, both at once; arguments as in `split`."""
        return self._send(
            traffic.promote(self._model, version, note=note, expected_revision=expected_revision, force=force)
        )

    def withdraw(self, *, note: str = "", expected_revision: int | None = None) -> Traffic:
        """End the split and the shadows, so that `default` serves alone; arguments as in `split`."""
        return self._send(traffic.withdraw(self._model, note=note, expected_revision=expected_revision))
