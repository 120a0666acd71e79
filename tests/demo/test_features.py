import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_server.demo.features import ids_of, learn
from reference_server.training.ngrams import Kind

WORD, PAIR = Kind("word", 1, 1), Kind("word", 2, 1)
FOUR, FIVE = Kind("character", 4, 1), Kind("character", 5, 1)
START, END = "\x02", "\x03"


def strings(kind, *texts):
    return set(learn([kind], texts)[kind.name])


@pytest.fixture(scope="module")
def known(own):
    kinds = (WORD, PAIR, FOUR, FIVE)
    return kinds, learn(kinds, own.texts)


def test_words_are_letters_digits_and_apostrophes():
    """In lower case, of any alphabet; other punctuation parts them."""
    found = strings(WORD, "Don't STOP-now, 3 cafés; Ёлка don't")
    assert found == {"don't", "stop", "now", "3", "cafés", "ёлка"}


def test_exclamations_and_emoticons_are_words():
    """What punctuation says about a mood is kept."""
    found = strings(WORD, "No?! way!! :-) ;( :D =/ 3:4.")
    assert found == {"no", "?!", "way", "!!", ":-)", ";(", ":d", "=/", "3", "4"}


def test_pairs_are_neighbours_with_the_ends_of_the_text():
    """The first and the last word stand beside a mark, so a pair may tell where a text begins or ends."""
    assert strings(PAIR, "not so good") == {f"{START} not", "not so", "so good", f"good {END}"}


def test_runs_of_characters_cross_words_and_meet_the_ends():
    """Spaces count as characters, and marks stand before the first and after the last."""
    assert strings(FOUR, "A cat") == {f"{START}a c", "a ca", " cat", f"cat{END}"}
    assert strings(FIVE, "A cat") == {f"{START}a ca", "a cat", f" cat{END}"}


def test_a_text_shorter_than_the_run_has_no_run():
    """Padding is no part of a text."""
    assert strings(FIVE, "ab", "abcdefgh") == strings(FIVE, "abcdefgh")


def test_marks_alone_are_no_feature():
    """An empty text says nothing, alone or among others."""
    for texts in (["", ""], ["", "good"], ["...", "", "good"]):
        for kind in (WORD, PAIR):
            assert not any(set(string) <= {START, END, " "} for string in strings(kind, *texts))


def test_counts_are_of_texts():
    """A word that one text has three times occurs in one text; order and strings are sorted."""
    learned = learn([WORD], ["good good good bad", "good", "odd"])
    assert learned == {"word_1": {"bad": 1, "good": 2, "odd": 1}}
    assert list(learned["word_1"]) == ["bad", "good", "odd"]


def test_rare_strings_are_not_known():
    """Each kind has a least number of texts of its own."""
    texts = ["good day", "good night", "good day"]
    learned = learn([Kind("word", 1, 2), Kind("word", 2, 3)], texts)
    assert learned == {"word_1": {"day": 2, "good": 3}, "word_2": {f"{START} good": 3}}


def test_ids_count_through_the_kinds():
    """Ids follow the strings, kind after kind, from 1; what is unknown has none."""
    known = {"word_1": {"bad": 1, "good": 1}, "word_2": {"not good": 1}}
    rows = ids_of([WORD, PAIR], known, ["not good", "bad BAD good", "what else", ""])
    assert [row.tolist() for row in rows] == [[2, 3], [1, 1, 2], [], []]


def test_every_learned_feature_is_found_again(own, known):
    """Of the texts that taught them, the ids are all that there are."""
    kinds, learned = known
    found = set(np.concatenate(ids_of(kinds, learned, own.texts)).tolist())
    assert found == set(range(1, 1 + sum(map(len, learned.values()))))


@given(st.lists(st.text(max_size=12) | st.sampled_from(["Not good!", "", "the lamp was bright"]), max_size=3))
@settings(deadline=None, max_examples=25)
def test_a_text_has_the_same_ids_alone_and_in_company(known, texts):
    """Padding to the longest text of a batch adds and hides nothing."""
    kinds, learned = known
    company = [*texts, "I love this little lamp, it makes the room warm and bright."]
    together = ids_of(kinds, learned, company)
    for text, row in zip(company, together, strict=True):
        np.testing.assert_array_equal(ids_of(kinds, learned, [text])[0], row)


def test_many_texts_keep_their_order(known):
    """Texts are run in parts, and come back as one list."""
    kinds, learned = known
    texts = ["good", "bad", "the room"] * 400
    rows = ids_of(kinds, learned, texts)
    assert len(rows) == 1200
    three = [row.tolist() for row in ids_of(kinds, learned, texts[:3])]
    assert len({tuple(row) for row in three}) == 3
    assert [row.tolist() for row in rows] == three * 400
