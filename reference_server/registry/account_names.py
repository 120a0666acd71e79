"""Account names for people who give none: readable, and telling nothing of the e-mail."""

from __future__ import annotations

import secrets

_COLOURS = (
    *(
        "amber",
        "azure",
        "beige",
        "bronze",
        "cobalt",
        "copper",
        "coral",
        "cream",
        "crimson",
        "golden",
        "green",
    ),
    *("indigo", "ivory", "jade", "lilac", "maroon", "mint", "ochre", "olive", "opal", "orange", "pearl"),
    *("plum", "purple", "red", "rose", "ruby", "russet", "scarlet", "silver", "teal", "violet"),
)
_ANIMALS = (
    *("badger", "beaver", "bison", "crane", "deer", "dolphin", "eagle", "falcon", "finch", "fox", "gecko"),
    *("hare", "heron", "ibis", "koala", "lark", "lemur", "lynx", "marten", "mole", "newt", "otter", "owl"),
    *("panda", "puffin", "raven", "robin", "seal", "stork", "swift", "tapir", "wren"),
)
_NUMBERS = 10_000


def make_account_name() -> str:
    """Return a random name such as `amber-otter-0417`, one of ten million."""
    return f"{secrets.choice(_COLOURS)}-{secrets.choice(_ANIMALS)}-{secrets.randbelow(_NUMBERS):04d}"
