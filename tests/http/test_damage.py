"""A package that was damaged, exchanged or rolled back in the store: told, logged, and harming nothing."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import select, update

from reference_server.registry.tables import VersionRow


@pytest.fixture
def words(server, package_writer, text_graph):
    """Return a server whose model `words` has two versions, none of which is loaded."""
    server.ada = server.register("ada")
    for number in (1, 2):
        folder = package_writer(text_graph())
        (folder / "README.md").write_text(f"version {number}")
        assert server.publish(server.ada, "words", folder).status == 201
    server.folder = server.services.settings.data_dir / "artifacts"
    with server.services.database.read() as session:
        server.rows = list(session.scalars(select(VersionRow).order_by(VersionRow.number)))
    return server


def damage(server) -> None:
    """Flip a bit of version 1's artifact."""
    file = server.folder / server.rows[0].artifact
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(server) -> None:
    """Cut version 1's artifact off."""
    file = server.folder / server.rows[0].artifact
    file.write_bytes(file.read_bytes()[:-1])


def exchange(server) -> None:
    """Put version 2's artifact in the place of version 1's."""
    one, two = (server.folder / row.artifact for row in server.rows)
    one.write_bytes(two.read_bytes())


def roll_over(server) -> None:
    """Let version 1's row name what is version 2's, the key too."""
    values = {"artifact": server.rows[1].artifact, "data_key": server.rows[1].data_key}
    with server.services.database.write() as session:
        session.execute(update(VersionRow).where(VersionRow.number == 1).values(values))


def lose(server) -> None:
    """Take version 1's artifact away."""
    (server.folder / server.rows[0].artifact).unlink()


@pytest.mark.parametrize("harm", [damage, cut, exchange, roll_over, lose])
def test_what_does_not_open_is_told_and_logged(words, caplog, harm) -> None:
    """The answer tells nothing of the store; the log names the version; other versions are served."""
    harm(words)
    with caplog.at_level(logging.ERROR):
        answer = words.post("/v1/models/words/versions/1/predict", {"text": "good"}, headers=words.ada)
        package = words.through_flask("GET", "/v1/models/words/versions/1/package", headers=words.ada)
    for each in (answer, package):
        assert (each.status, each.json["error"]["code"]) == (503, "package_damaged"), each.body
        for inside in (words.rows[0].artifact, "dky_", "chunk", "seal", str(words.folder)):
            assert inside not in each.json["error"]["message"]
    assert f"{words.rows[0].model_id}" in caplog.text
    assert "version 1" in caplog.text
    fine = words.post("/v1/models/words/versions/2/predict", {"text": "good"}, headers=words.ada)
    assert fine.status == 200
