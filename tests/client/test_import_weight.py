from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys

import pytest

import maas_client
from maas_client import types

FIRST_IMPORT = {"maas_client"}
FIRST_CLIENT = {
    "brotli",
    "brotlicffi",
    "certifi",
    "chardet",
    "charset_normalizer",
    "idna",
    "maas_client",
    "requests",
    "simplejson",
    "socks",
    "urllib3",
}
FIRST_CALL = FIRST_CLIENT | {
    "annotated_types",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "typing_inspection",
}


def modules_of(code):
    """Return the modules that some code imports in a new process."""
    script = (
        "import json, sys\nbefore = set(sys.modules)\n"
        f"{code}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    command = [sys.executable, "-c", script]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return set(json.loads(output))


def imported_by(code):
    """Return the top-level modules outside the standard library that some code imports in a new process."""
    tops = {name.partition(".")[0] for name in modules_of(code)}
    # Compiled wheels and the interpreter's build data register modules of generated names.
    made = {"cython_runtime"} | {name for name in tops if name.startswith("_") or "mypyc" in name}
    return tops - made - sys.stdlib_module_names


def test_the_import_brings_nothing_else():
    """`import maas_client` alone loads neither pydantic nor requests."""
    assert imported_by("import maas_client") == FIRST_IMPORT


def test_a_first_client_brings_only_what_it_needs():
    """Not even pydantic, which takes as long as all the rest; the first call needs it."""
    code = "import maas_client; maas_client.Client('key-for-test', 'http://127.0.0.1:1', proxies={})"
    assert imported_by(code) <= FIRST_CLIENT


def test_a_first_call_brings_only_what_it_needs():
    """Not numpy, and not tenacity, which imports asyncio, before the first failure."""
    code = (
        "import maas_client\n"
        "client = maas_client.Client('key-for-test', 'http://127.0.0.1:1', proxies={}, max_retries=0)\n"
        "client.model('mood')\n"
        "from maas_client._operations import predict\n"
        "predict.predict('mood', {'text': 'a'}, version=None, parameters=None)"
    )
    assert imported_by(code) <= FIRST_CALL


@pytest.mark.parametrize("name", maas_client.__all__)
def test_every_public_name_is_there(name):
    """Lazy exports lead to something, and `dir` shows them."""
    assert getattr(maas_client, name) is not None
    assert name in dir(maas_client)


def test_a_misspelt_name_is_an_attribute_error():
    """As of any module."""
    with pytest.raises(AttributeError, match="Cleint"):
        _ = maas_client.Cleint


def test_the_version_is_that_of_the_distribution():
    """The constant in the code and the metadata agree."""
    assert maas_client.__version__ == importlib.metadata.version("maas-client")


def test_the_command_without_its_extra_says_what_to_install():
    """One line, and no traceback."""
    code = "import sys; sys.modules['click'] = None; from maas_client._command import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "maas needs click, which the extra brings: pip install 'maas-client[cli]'"


@pytest.mark.parametrize("name", types.__all__)
def test_every_type_is_there(name):
    """Likewise."""
    assert getattr(types, name) is not None
    assert name in dir(types)


def test_a_misspelt_type_is_an_attribute_error():
    """As of any module."""
    with pytest.raises(AttributeError, match="Verison"):
        _ = types.Verison


def test_a_first_call_makes_no_type_that_it_does_not_need():
    """To make all of them takes as long as the rest of a short script."""
    code = "from maas_client._operations import predict"
    assert not modules_of(code) & {"maas_client.types.fine_tunes", "maas_client.types.accounts"}
