import pytest

from maas_client.types import ModelQuery
from reference_server.registry import aliases, models


def make(registry, caller, name, visibility="private"):
    made = models.create(registry.db, caller, name=name, visibility=visibility)
    registry.clock.advance(1)
    return made


def test_a_new_model_has_a_name_and_nothing_to_tell(registry, ada):
    """Before its first version a model is a claim on a name."""
    made = make(registry, ada, "words", "public")
    told = made.model_dump(exclude_defaults=True)
    assert told == {
        "id": "words",
        "created": 1893499200,
        "owned_by": "ada",
        "name": "words",
        "visibility": "public",
        "role": "owner",
        "updated_at": made.updated_at,
        "usage": {"calls": 0, "rows": 0, "days": 30},
    }
    assert models.get(registry.db, ada, "words") == made


def test_a_model_is_described_by_its_default_version(registry, ada, package):
    """What the catalogue tells comes from the version that a caller gets who names none."""
    registry.publish(ada, "words", package("1", description="The first.", tags=["old"], labels=["a", "b"]))
    registry.publish(ada, "words", package("2", description="The second.", tags=["new"]))
    model = models.get(registry.db, ada, "words")
    assert (model.default_version, model.latest_version) == (1, 2)
    assert (model.description, model.tags, model.labels) == ("The first.", ["old"], ["a", "b"])
    aliases.move(registry.db, ada, "words", "default", version=2, note="", expected_revision=None, force=True)
    model = models.get(registry.db, ada, "words")
    assert (model.default_version, model.latest_version) == (2, 2)
    assert (model.description, model.tags, model.labels) == ("The second.", ["new"], ["negative", "positive"])
    assert (model.task, model.license, model.example) == (
        "text-classification",
        "Apache-2.0",
        {"text": "a good day"},
    )
    assert [spec.name for spec in model.signature.inputs] == ["text"]


def test_a_change_of_visibility_is_a_change(registry, ada, bob):
    """Only what changes the model changes its time."""
    made = make(registry, ada, "words")
    same = models.update(registry.db, ada, "words", visibility="private")
    assert same == made
    shown = models.update(registry.db, ada, "words", visibility="public")
    assert (shown.visibility, shown.updated_at) == ("public", registry.clock.now)
    assert models.get(registry.db, bob, "words") == shown.model_copy(update={"role": None})
    registry.clock.advance(1)
    assert models.update(registry.db, ada, "ada~words", visibility="public") == shown


@pytest.fixture(scope="module")
def catalogue(open_registry, tmp_path_factory, package):
    """Return a registry with published models of three accounts; what is asked of it changes nothing."""
    registry = open_registry(tmp_path_factory.mktemp("catalogue"))
    callers = registry.ada, registry.bob, registry.me = [registry.account(n) for n in ("ada", "bob", "me")]
    ada, bob, me = callers
    for caller, name, visibility, manifest in (
        (ada, "Reviews", "public", {"description": "Film reviews, 100% of them.", "tags": ["english"]}),
        (ada, "reviews-v2", "private", {"description": "STRASSE und Film", "tags": ["deutsch", "film"]}),
        (bob, "reviews", "public", {"description": "Buchkritiken \uff46\uff49\uff4c\uff4d", "tags": ["c_d"]}),
        (bob, "secret", "private", {"description": "Film, for bob's eyes only", "tags": []}),
        (
            bob,
            "prices",
            "public",
            {"description": "Prices of houses.", "task": "regression", "tags": ["cxd"]},
        ),
        (me, "mine", "public", {"description": "A path: C:\\films", "tags": []}),
    ):
        registry.publish(caller, name, package(name, **manifest), visibility=visibility)
        registry.clock.advance(60)
    models.create(registry.db, ada, name="empty", visibility="private")
    registry.publish(ada, "reviews-v2", package("newer", description="Nothing of the kind.", tags=["novel"]))
    yield registry
    registry.db.dispose()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["empty", "mine", "prices", "Reviews", "reviews", "reviews-v2"]),
        ({"task": "regression"}, ["prices"]),
        ({"task": "text-classification"}, ["mine", "Reviews", "reviews", "reviews-v2"]),
        ({"task": "image-classification"}, []),
        ({"task": "Regression"}, []),
        ({"owner": "me"}, ["empty", "Reviews", "reviews-v2"]),
        ({"owner": "ada"}, ["empty", "Reviews", "reviews-v2"]),
        ({"owner": "bob"}, ["prices", "reviews"]),
        ({"owner": "nobody"}, []),
        ({"owner": "b%"}, []),
        ({"owner": "bob", "task": "regression"}, ["prices"]),
        ({"owner": "me", "task": "regression"}, []),
        ({"q": "reviews"}, ["Reviews", "reviews", "reviews-v2"]),
        ({"q": "REVIEWS"}, ["Reviews", "reviews", "reviews-v2"]),
        ({"q": "film"}, ["mine", "Reviews", "reviews", "reviews-v2"]),
        ({"q": "straße"}, ["reviews-v2"]),
        ({"q": "deutsch"}, ["reviews-v2"]),
        ({"q": "film english"}, ["Reviews"]),
        ({"q": " \u3000english \t film\n"}, ["Reviews"]),
        ({"q": "film prices"}, []),
        ({"q": "novel"}, []),
        ({"q": "100%"}, ["Reviews"]),
        ({"q": "%"}, ["Reviews"]),
        ({"q": "c_d"}, ["reviews"]),
        ({"q": "c:\\f"}, ["mine"]),
        ({"q": "/"}, []),
        ({"q": "'"}, []),
        ({"q": "eyes"}, []),
        ({"q": "\0"}, ["empty", "mine", "prices", "Reviews", "reviews", "reviews-v2"]),
        ({"q": "empty"}, ["empty"]),
        ({"q": "e", "owner": "bob", "task": "text-classification"}, ["reviews"]),
    ],
    ids=str,
)
def test_filters_choose_among_what_one_may_see(catalogue, every_model, query, expected):
    """Filters hold together; words are found in name, description and tags of the catalogue's version."""
    assert sorted(every_model(catalogue, catalogue.ada, **query)) == sorted(expected)


def test_me_is_the_caller_whoever_is_called_so(catalogue, every_model):
    """The word `me` stands for the caller, even where an account has that name."""
    assert every_model(catalogue, catalogue.bob, owner="me") == ["prices", "reviews", "secret"]
    assert every_model(catalogue, catalogue.me, owner="me") == ["mine"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("name", ["empty", "mine", "prices", "reviews", "reviews", "reviews-v2"]),
        ("-name", ["reviews-v2", "reviews", "reviews", "prices", "mine", "empty"]),
        ("created", ["Reviews", "reviews-v2", "reviews", "prices", "mine", "empty"]),
        ("-created", ["empty", "mine", "prices", "reviews", "reviews-v2", "Reviews"]),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 7])
def test_every_order_holds_over_any_pages(catalogue, every_model, sort, expected, limit):
    """Each model comes once and in its place, however long the pages are; names sort without case."""
    found = every_model(catalogue, catalogue.ada, sort=sort, limit=limit)
    assert [name.lower() if "name" in sort else name for name in found] == expected
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("sort", ["name", "-name", "created", "-created"])
def test_models_made_meanwhile_shift_no_page(registry, ada, every_page, sort):
    """Whoever turns pages meets each model once that was there all the time."""
    names = [f"m{number:02}" for number in range(20)]
    for name in names:
        make(registry, ada, name)
    meanwhile = iter(["a-1", "m04-1", "z-1", "a-2", "m10-1", "z-2"])

    def read(query):
        page = models.list_models(registry.db, ada, query)
        if name := next(meanwhile, None):
            make(registry, ada, name)
        return page

    found = [model.name for page in every_page(read, ModelQuery, sort=sort, limit=3) for model in page]
    assert [name for name in found if name in names] == sorted(names, reverse=sort.startswith("-"))
    assert len(set(found)) == len(found)


def test_what_is_hidden_leaves_no_gap(registry, ada, bob, every_page):
    """Another's private models neither appear nor shorten a page."""
    for number in range(6):
        make(registry, ada, f"m{number}")
        make(registry, bob, f"m{number}", "public" if number % 2 else "private")
    pages = every_page(lambda query: models.list_models(registry.db, ada, query), ModelQuery, limit=4)
    assert [[model.id for model in page] for page in pages] == [
        ["m0", "m1", "bob~m1", "m2"],
        ["m3", "bob~m3", "m4", "m5"],
        ["bob~m5"],
    ]
