import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_server.errors import RangeNotSatisfiable
from reference_server.http.ranges import requested

ETAG = '"abc"'
EDGE = st.integers(0, 12)
SPECS = st.one_of(
    st.tuples(EDGE, EDGE).map(lambda ends: f"{ends[0]}-{ends[1]}"),
    EDGE.map(lambda first: f"{first}-"),
    EDGE.map(lambda last: f"-{last}"),
    st.sampled_from(["-", "", "a-b", "1-2-3", "+1-2", "1.0-2", "٣-٤", "1-" + "9" * 39, "9" * 5000 + "-"]),
)


def reference(spec, data):
    """Return what RFC 9110 grants of some bytes: a part, all of them for None, or that there is none."""
    first, dash, last = spec.partition("-")
    if not dash or not (first + last).isascii() or len(spec) > 1000:
        return None
    if not first:
        return (data[-int(last) :] if int(last) else b"") if last.isdigit() else None
    if not first.isdigit() or (last and not last.isdigit()):
        return None
    if last and int(last) < int(first):
        return None
    return data[int(first) : int(last) + 1 if last else None]


@given(SPECS, st.integers(1, 10))
def test_a_range_grants_the_bytes_that_the_rfc_says(spec, size):
    """Whatever one range is asked for, it is granted as slices of a byte string would."""
    data = bytes(range(size))
    expected = reference(spec, data)
    if expected == b"":
        with pytest.raises(RangeNotSatisfiable) as refused:
            requested({"range": f"bytes={spec}"}, etag=ETAG, size=size)
        assert refused.value.size == size
        return
    part = requested({"range": f"bytes={spec}"}, etag=ETAG, size=size)
    assert (None if part is None else data[slice(*part)]) == expected


@given(st.text(max_size=30))
def test_no_header_breaks_it(text):
    """Any text is a range, is ignored, or is beyond the end."""
    try:
        part = requested({"range": text}, etag=ETAG, size=5)
    except RangeNotSatisfiable:
        return
    assert part is None or 0 <= part[0] < part[1] <= 5


@pytest.mark.parametrize("text", ["bytes=0-1,3-4", "bytes=0-0,-1", "items=0-1", "0-1", "bytes 0-1"])
def test_several_ranges_and_other_units_get_the_whole(text):
    """What is not granted is ignored (RFC 9110, section 14.2)."""
    assert requested({"range": text}, etag=ETAG, size=5) is None


@pytest.mark.parametrize("text", ["bytes=1-2", "BYTES=1-2", " bytes = 1-2 ", "bytes=,1-2,"])
def test_the_unit_is_read_without_regard_to_case_and_spaces(text):
    """Range units are case-insensitive, and lists may hold empty elements."""
    assert requested({"range": text}, etag=ETAG, size=5) == (1, 3)


@pytest.mark.parametrize(
    ("condition", "part"),
    [
        (ETAG, (1, 5)),
        (f" {ETAG} ", (1, 5)),
        ('"other"', None),
        (f"W/{ETAG}", None),
        ("abc", None),
        ("", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_a_range_of_something_else_gets_the_whole(condition, part):
    """`If-Range` holds by a strong comparison alone."""
    assert requested({"range": "bytes=1-", "if-range": condition}, etag=ETAG, size=5) == part


def test_a_condition_goes_before_the_end():
    """A range beyond the end of another representation is no error: the whole of this one is new."""
    assert requested({"range": "bytes=9-", "if-range": '"other"'}, etag=ETAG, size=5) is None
