"""Texts, rows and pictures with some of their parts left out."""

import numpy as np
import pytest

from maas_client.types import ImagePreprocessing
from reference_server.errors import Unprocessable
from reference_server.explain import segments
from reference_server.explain.images import MaskedPicture, placed
from reference_server.explain.tables import MaskedRow, masked_row
from reference_server.explain.texts import MaskedText, seen_words, words_of
from reference_server.runtime.tasks import Batch
from reference_server.runtime.tasks.backgrounds import Background


def masked_text(text, mask=None):
    return MaskedText(text, [[word] for word in segments.words(text)], mask=mask)


def shown(masked, *rows):
    return masked.masked(np.array(rows, bool)).columns["text"]


def test_a_word_takes_along_what_follows_it():
    """All words are the text itself; none leave what precedes the first."""
    masked = masked_text('"Good, but dear!"')
    assert shown(masked, [1, 1, 1], [0, 1, 1], [1, 1, 0], [0, 0, 0]) == [
        '"Good, but dear!"',
        '"but dear!"',
        '"Good, but ',
        '"',
    ]
    assert masked.masking == "delete"
    assert [(each.name, each.start, each.end) for each in masked.features] == [
        ("Good", 1, 5),
        ("but", 7, 10),
        ("dear", 11, 15),
    ]


def test_a_mask_token_stands_for_a_word_and_leaves_the_rest():
    """As in the training of models that have one."""
    masked = masked_text("Good, but dear!", mask="[MASK]")
    assert shown(masked, [1, 1, 1], [0, 1, 0]) == ["Good, but dear!", "[MASK], but [MASK]!"]
    assert masked.masking == "mask-token"


def test_a_sentence_goes_with_all_its_words():
    """Deleting a sentence is deleting its words, so that one may be parted further."""
    text = "Not bad. Very good!"
    words = segments.words(text)
    whole = MaskedText(text, [words[:2], words[2:]], mask=None)
    parted = MaskedText(text, [words[:2], [words[2]], [words[3]]], mask=None)
    assert shown(whole, [0, 1], [1, 0]) == shown(parted, [0, 1, 1], [1, 0, 0]) == ["Very good!", "Not bad. "]
    assert (whole.unit, parted.unit) == ("sentences", "words")
    assert [each.counts for each in parted.features] == [False, True, True]


@pytest.mark.parametrize(("seen", "words"), [(100, 4), (17, 4), (16, 3), (11, 3), (10, 2), (1, 1)])
def test_words_beyond_the_models_window_are_no_features(seen, words):
    """One of which the model sees a part is one; of the others it is told how many there are."""
    found, notes = seen_words("Good, but dear, x!", seen)
    assert len(found) == words
    if words == 4:
        assert notes == ()
    else:
        assert f"the first {words} of the text's 4 words. The other {4 - words} are beyond" in notes[0]
        # What follows the last of them goes no further than the window.
        assert found[-1].reach == max(found[-1].end, seen)


def test_a_text_of_which_no_word_is_seen_cannot_be_explained():
    """The window may end before the first one."""
    with pytest.raises(Unprocessable, match="sees the first 2 characters of the text, and no word"):
        seen_words(".. good", 2)


def test_a_text_without_words_cannot_be_explained():
    """It says so, naming the input."""
    with pytest.raises(Unprocessable, match="no words") as caught:
        words_of(" ... ")
    assert (caught.value.code, caught.value.param) == ("nothing_to_explain", "inputs.text")


ROW = Batch({"age": [40], "sex": ["f"]}, {})
BACKGROUND = Background(Batch({"age": [20, 30, 60], "sex": ["m", "f", "m"]}, {}), np.array([0.5, 0.25, 0.25]))


def test_a_column_that_is_away_has_each_value_of_the_background():
    """One row of the model for each row of the background."""
    masked = MaskedRow(ROW, BACKGROUND)
    batch = masked.masked(np.array([[True, False], [False, False]]))
    assert batch.columns == {"age": [40, 40, 40, 20, 30, 60], "sex": ["m", "f", "m"] * 2}
    assert masked.weights.tolist() == [0.5, 0.25, 0.25]


def test_the_mean_of_a_background_is_one_row():
    """Whole numbers stay whole, of texts the one that counts most."""
    mean = BACKGROUND.mean()
    assert mean.batch.columns == {"age": [32], "sex": ["m"]}
    assert mean.weights.tolist() == [1.0]


@pytest.mark.parametrize(("budget", "rows"), [(10, 3), (9, 1)])
def test_a_budget_too_small_for_a_background_takes_its_mean_and_says_so(budget, rows):
    """Four coalitions of two columns: the instance, and three of as many rows as the background has."""
    masked = masked_row(ROW, BACKGROUND, method="auto", budget=budget)
    assert len(masked.weights) == rows
    assert ["background's mean" in note for note in masked.notes] == ([] if rows == 3 else [True])


def test_a_table_without_a_background_cannot_be_explained():
    """What to ship is said."""
    with pytest.raises(Unprocessable, match=r"background\.json"):
        masked_row(ROW, None, method="auto", budget=256)


def test_too_many_columns_are_refused():
    """And how many can be told apart is said."""
    wide = Batch({f"c{number}": [1.0] for number in range(300)}, {})
    background = Background(Batch({name: [0.0] for name in wide.columns}, {}), np.ones(1))
    with pytest.raises(Unprocessable, match="at most 256"):
        masked_row(wide, background, method="auto", budget=256)


@pytest.mark.parametrize(
    ("layout", "mode", "shape"),
    [("NCHW", "RGB", (3, 28, 28)), ("NHWC", "RGB", (28, 28, 3)), ("NHW", "L", (28, 28))],
)
def test_a_region_that_is_away_has_the_mean_colour(layout, mode, shape):
    """Every other pixel stays as it is."""
    options = ImagePreprocessing(width=28, height=28, mode=mode, layout=layout)
    tensor = np.random.default_rng(0).random(shape, np.float32)
    masked = MaskedPicture(tensor, options, (280, 140))
    assert len(masked.features) == 49
    assert masked.features[8].box == (40, 20, 80, 40)
    present = np.ones((3, 49), bool)
    present[1, 8] = False
    present[2] = False
    whole, one, none = masked.masked(present).columns["image"]
    assert (whole == tensor).all()
    axes = {"NCHW": (1, 2), "NHWC": (0, 1), "NHW": (0, 1)}[layout]
    mean = tensor.mean(axis=axes, keepdims=True)
    assert np.allclose(none, mean, atol=1e-6)
    changed = (one != tensor).any(axis=0 if layout == "NCHW" else -1) if layout != "NHW" else one != tensor
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 7, 4, 7)
    assert all(picture.dtype == np.float32 for picture in (whole, one, none))


@pytest.mark.parametrize(
    ("fit", "seen", "source"),
    [
        ("stretch", (0, 0, 100, 50), (0, 0, 300, 300)),
        ("crop", (0, 0, 100, 50), (0, 75, 300, 225)),
        ("pad", (25, 0, 75, 50), (0, 0, 300, 300)),
    ],
)
def test_regions_are_told_in_pixels_of_the_picture_as_sent(fit, seen, source):
    """Of a cropped one the rest is in no region, of a padded one the border is in none."""
    options = ImagePreprocessing(width=100, height=50, fit=fit)
    assert placed(options, (300, 300)) == (seen, source)
    masked = MaskedPicture(np.zeros((3, 50, 100), np.float32), options, (300, 300))
    boxes = np.array([each.box for each in masked.features])
    assert (boxes[0, :2].tolist(), boxes[-1, 2:].tolist()) == ([*source[:2]], [*source[2:]])


def test_what_is_no_picture_is_never_masked():
    """The border of a padded picture is not part of it."""
    options = ImagePreprocessing(width=28, height=28, fit="pad")
    tensor = np.zeros((3, 28, 28), np.float32)
    tensor[:, 7:21] = 1
    tensor[:, 7:21, :14] = 0.5
    (picture,) = MaskedPicture(tensor, options, (56, 28)).masked(np.zeros((1, 49), bool)).columns["image"]
    assert (picture[:, :7] == 0).all()
    assert (picture[:, 7:21] == 0.75).all()


@pytest.mark.parametrize("sent", [(1, 5000), (5000, 1)])
def test_a_picture_of_one_pixels_width_has_regions_too(sent):
    """Padded, it is one pixel of what the model sees."""
    options = ImagePreprocessing(width=28, height=28, fit="pad")
    masked = MaskedPicture(np.zeros((3, 28, 28), np.float32), options, sent)
    assert len(masked.features) == 7


def test_a_small_picture_has_fewer_regions():
    """Eight pixels make four cells."""
    options = ImagePreprocessing(width=8, height=8, mode="L", layout="NHW")
    assert len(MaskedPicture(np.zeros((8, 8), np.float32), options, (8, 8)).features) == 16
