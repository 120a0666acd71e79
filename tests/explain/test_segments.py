"""Words and sentences in the scripts of the world."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_server.explain import segments


def words(text):
    return [text[each.start : each.end] for each in segments.words(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A good day.", ["A", "good", "day"]),
        ("don\u2019t re-use  it's", ["don\u2019t", "re-use", "it's"]),
        ("-a- 'b' c-", ["a", "b", "c"]),
        ("snake_case 3.5", ["snake_case", "3", "5"]),
        ("caf\u00e9 cafe\u0301", ["caf\u00e9", "cafe\u0301"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("我喜欢这部电影。", list("我喜欢这部电影")),
        ("とても good です", ["と", "て", "も", "good", "で", "す"]),
        ("한국어 영화", ["한국어", "영화"]),
        ("great \U0001f600\U0001f600!", ["great", "\U0001f600\U0001f600"]),
        ("\U0001f468\u200d\U0001f469 \u2764\ufe0f", ["\U0001f468\u200d\U0001f469", "\u2764\ufe0f"]),
        ("a\0b", ["a", "b"]),
        ("", []),
        ("?! … \n", []),
    ],
)
def test_words_are_what_readers_call_so(text, expected):
    """In scripts without spaces each character is a word."""
    assert words(text) == expected


@given(st.text(max_size=60))
def test_the_words_part_a_text_without_a_gap(text):
    """What follows a word belongs to it up to the next; nothing is in two words, and none is empty."""
    found = segments.words(text)
    for one, next_ in pairwise(found):
        assert one.start < one.end <= one.reach == next_.start
    if found:
        assert found[-1].reach == len(text)
        assert not words(text[: found[0].start])


def sentences(text, **limits):
    found = segments.sentences(text, segments.words(text), **{"most": 64, "longest": 32, **limits})
    return [text[each.start : each.end] for each in map(segments.whole, found)]


def test_sentences_end_at_full_stops_of_any_script():
    """A dot within a number ends none."""
    text = 'It cost 3.5 pounds. "Really?" Yes! 我来了。他走了\uff01\nNew line'
    assert sentences(text) == ["It cost 3.5 pounds", "Really", "Yes", "我来了", "他走了", "New line"]


def test_a_text_without_full_stops_is_parted_by_length():
    """Into parts as equal as can be."""
    text = " ".join(f"w{number}" for number in range(70))
    found = segments.sentences(text, segments.words(text), most=64, longest=32)
    assert [len(each) for each in found] == [23, 24, 23]


def test_neighbours_are_put_together_where_there_are_too_many():
    """No word is lost, none is moved."""
    text = " ".join(f"Number {number}." for number in range(50))
    parts = segments.sentences(text, segments.words(text), most=7, longest=32)
    assert len(parts) == 7
    assert [word for part in parts for word in part] == segments.words(text)
