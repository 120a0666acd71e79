"""Fifty publishers of one model at once, through a real server."""

import shutil
import threading

import pytest

pytestmark = pytest.mark.long

PUBLISHERS = 50


@pytest.fixture
def packages(tmp_path, text_package):
    """Return the folders of packages of one graph and different content."""
    folders = []
    for number in range(PUBLISHERS):
        folder = tmp_path / "packages" / str(number)
        shutil.copytree(text_package, folder)
        (folder / "README.md").write_text(f"Package {number}.", encoding="utf-8")
        folders.append(folder)
    return folders


def test_fifty_publishers_get_fifty_consecutive_versions(serve, packages):
    """Whoever comes to one model together, through two workers, gets a number of their own."""
    with serve("--workers", "2") as running, running.account("crowd") as client:
        key = client.keys.create("crowd", scopes=["models:read", "models:write", "predict"])
        secret, barrier = key.secret.get_secret_value(), threading.Barrier(PUBLISHERS)
        made, failed = {}, []

        def publish(folder):
            try:
                with running.client(api_key=secret) as own:
                    barrier.wait(20)
                    made[folder] = own.models.publish(folder, name="words", notes=folder.name)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at below
                failed.append(error)

        threads = [threading.Thread(target=publish, args=(folder,)) for folder in packages]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(100)
        assert failed == []
        assert sorted(version.version for version in made.values()) == list(range(1, PUBLISHERS + 1))
        listed = {version.version: version for version in client.model("words").versions.list()}
        assert sorted(listed) == list(range(1, PUBLISHERS + 1))
        for folder, version in made.items():
            assert (listed[version.version].digest, listed[version.version].notes) == (
                version.digest,
                folder.name,
            )
        (move,) = client.model("words").aliases.history("default")
        assert move.to_version == client.predict("words", text="good").version == 1
