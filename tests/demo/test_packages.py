import dataclasses
import json
import shutil
import threading
from pathlib import Path

import pytest

from maas_client._package import open_package
from reference_server import downloads
from reference_server.demo import packages
from reference_server.demo.packages import demo_packages


def everything_under(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


def turn_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


@pytest.fixture
def trained(cached_negations, cache):
    """Return the packages of the cached data, and the folder where they are kept."""
    model = demo_packages(log=lambda line: None)
    return model, model.versions[0].package.parent


@pytest.mark.usefixtures("cached_negations")
def test_packages_are_trained_once(cache, said):
    """The second call finds what the first one kept, says nothing and writes nothing."""
    first = demo_packages(log=said.append)
    assert [line for line in said if line.startswith("Training on")] != []
    kept, times = everything_under(cache), {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    assert demo_packages(log=pytest.fail) == first
    assert everything_under(cache) == kept
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == times


def test_the_model_has_two_versions_in_order(trained, cache):
    """Each is a package that anyone could publish, in the cache, with a note of what is new."""
    model, folder = trained
    assert model.name == "text_classification_model"
    assert [version.package.name for version in model.versions] == ["v1.zip", "v2.zip"]
    assert folder.parent == cache / "demo"
    for version in model.versions:
        with open_package(version.package) as package:
            assert package.manifest.license == "Apache-2.0; trained on data under MIT"
            assert str(package.manifest.metrics[0].dataset).startswith("Hutto & Gilbert 2014")
        assert "held-out sentences are right" in version.notes
    assert model.versions[0].default_note is None
    assert model.versions[1].default_note.endswith(" before.")


def test_without_a_network_the_packages_are_of_our_own_sentences(built, said):
    """The log says so, the manifest says so, and the bytes are those of a training on them."""
    model = demo_packages(log=said.append)
    assert "a few sentences of our own instead" in "\n".join(said)
    assert [version.package.read_bytes() for version in model.versions] == [one.package for one in built]
    assert [version.default_note for version in model.versions] == [one.default_note for one in built]
    for version in model.versions:
        with open_package(version.package) as package:
            assert {metric.dataset for metric in package.manifest.metrics} == {"sentences of this repository"}
            assert package.manifest.license == "Apache-2.0; trained on data under Apache-2.0"


def test_other_data_is_kept_elsewhere(trained, cache, make_sdist, pin):
    """The folder is named after the data: new data is trained, and the old packages stay."""
    _, folder = trained
    before = everything_under(folder)
    rows = ((row, *((3, "kind") if row % 2 else (-3, "cold"))) for row in range(60))
    lines = [f"{row}\t{rating}\troom {row} was {word}" for row, rating, word in rows]
    downloads.write_atomically(cache / "downloads" / "vaderSentiment-3.3.2.tar.gz", pin(make_sdist(lines)))
    other = demo_packages(log=lambda line: None).versions[0].package.parent
    assert other != folder
    assert other.parent == folder.parent
    assert everything_under(folder) == before


class TestDigest:
    def test_it_depends_on_the_data(self, own):
        """One label turned round is other data."""
        other = dataclasses.replace(own, labels=(1 - own.labels[0], *own.labels[1:]))
        assert packages._digest(own) != packages._digest(other)

    @pytest.mark.parametrize(
        "module", ["demo/features.py", "demo/recipes.py", "training/linear.py", "evaluation/metrics.py"]
    )
    def test_it_depends_on_the_code_that_makes_the_packages(self, own, monkeypatch, tmp_path, module):
        """A change in the features, the recipes, the training or the metrics asks for another training."""
        expected = packages._digest(own)
        rooms = Path(packages.__file__).parents[1]
        for room in ("demo", "training", "evaluation"):
            shutil.copytree(rooms / room, tmp_path / room)
        monkeypatch.setattr(packages, "__file__", str(tmp_path / "demo" / "packages.py"))
        assert packages._digest(own) == expected
        with (tmp_path / module).open("a") as source:
            source.write("# changed\n")
        assert packages._digest(own) != expected


class TestDamage:
    @pytest.mark.parametrize("file", ["v1.zip", "v2.zip", "model.json"])
    @pytest.mark.parametrize("damage", [truncate, turn_a_byte, zero], ids=lambda damage: damage.__name__)
    def test_a_damaged_file_is_noticed_named_and_made_anew(self, trained, said, file, damage):
        """Cut, changed or emptied: the log says what is damaged, and the same packages are trained again."""
        model, folder = trained
        whole = everything_under(folder)
        damage(folder / file)
        assert demo_packages(log=said.append) == model
        assert str(folder) in said[0]
        assert "is damaged" in said[0]
        assert everything_under(folder) == whole

    @pytest.mark.parametrize("file", ["v1.zip", "v2.zip", "model.json"])
    def test_a_file_that_was_deleted_is_made_anew(self, trained, file):
        """Who clears the cache by half gets the other half back."""
        model, folder = trained
        whole = everything_under(folder)
        (folder / file).unlink()
        assert demo_packages(log=lambda line: None) == model
        assert everything_under(folder) == whole

    @pytest.mark.usefixtures("cached_negations")
    def test_an_interrupted_training_is_no_result(self, cache, said):
        """What ends between the two versions leaves nothing that the next call would believe."""

        def interrupt(line):
            if "words, pairs" in line:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            demo_packages(log=interrupt)
        assert [path.name for path in cache.glob("demo/*/*")] == ["v1.zip"]
        model = demo_packages(log=said.append)
        assert len(model.versions) == 2
        assert sum(line.startswith("Training on") for line in said) == 2

    @pytest.mark.usefixtures("cached_negations")
    def test_two_at_the_same_time_get_the_same_whole_packages(self, cache):
        """Two first starts train side by side into one folder; both find it whole, nothing else is left."""
        models, barrier = [], threading.Barrier(2)

        def start():
            barrier.wait(10)
            models.append(demo_packages(log=lambda line: None))

        threads = [threading.Thread(target=start) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(models) == 2
        assert models[0] == models[1]
        assert sorted(path.name for path in cache.glob("demo/*/*")) == ["model.json", "v1.zip", "v2.zip"]
        described = json.loads(next(cache.glob("demo/*/model.json")).read_text())
        assert [version["package"] for version in described] == ["v1.zip", "v2.zip"]
