"""Explanations on the page: coloured words, regions over a picture, curves."""

import base64

from maas_client.types import Attribution, Curve, ExplainReply, Faithfulness
from reference_server.console import charts, heat_map

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n0000").decode()


def explained(*attributions, faithfulness=None):
    return ExplainReply(
        id="exp_1",
        model="words",
        version=1,
        digest="sha256:0",
        device="cpu",
        target="positive",
        method="exact",
        seed=0,
        prediction=0.9,
        baseline=0.5,
        attributions=list(attributions),
        additivity_gap=0.0,
        evaluations=8,
        faithfulness=faithfulness,
    )


def word(feature, start, value):
    return Attribution(
        feature=feature, input="text", value=value, start=start, end=start + len(feature), standard_error=0.01
    )


def test_every_character_of_a_text_is_shown_once():
    """Features in their places, what is between them as it is; overlapping ones do not double anything."""
    text = "a good, bad day"
    told = explained(word("good", 2, 0.4), word("bad", 8, -0.2), word("ad", 9, 0.1), word("day", 12, 0.0))
    (parts,) = heat_map.shown(told, {"text": text}).texts.values()
    assert "".join(part.text for part in parts) == text
    assert [(part.text, part.shade) for part in parts if part.shade] == [
        ("good", "towards-8"),
        ("bad", "away-4"),
    ]


def test_shades_grow_with_the_value_and_tell_its_side():
    """From the first shade, however small, to the eighth; none for nothing."""
    assert [heat_map.shade(value, 1.0) for value in (1e-9, 0.13, 0.5, 1.0)] == [
        "towards-1",
        "towards-2",
        "towards-4",
        "towards-8",
    ]
    assert heat_map.shade(-0.5, 1.0) == "away-4"
    assert heat_map.shade(0.0, 1.0) == heat_map.shade(0.5, 0.0) == ""


def test_regions_lie_over_their_picture():
    """In the picture's own pixels."""
    told = explained(
        Attribution(feature="r1", input="image", value=0.3, box=(0, 0, 4, 6)),
        Attribution(feature="r2", input="image", value=-0.3, box=(4, 0, 8, 6)),
    )
    shown = heat_map.shown(told, {"image": PNG})
    picture = shown.pictures["image"]
    assert (picture.width, picture.height) == (8, 6)
    assert picture.address == f"data:image/png;base64,{PNG}"
    assert [(each.x, each.width, each.shade) for each in picture.regions] == [
        (0, 4, "towards-8"),
        (4, 4, "away-8"),
    ]


def test_the_heaviest_features_come_first_and_the_rest_is_counted():
    """By their size, whatever their sign."""
    told = explained(*(word(f"w{index:02}", index * 4, (-1) ** index * index / 20) for index in range(20)))
    shown = heat_map.shown(told, {"text": " " * 80})
    assert [weight.bar.name for weight in shown.weights[:3]] == ["w19", "w18", "w17"]
    assert shown.left_out == 5
    assert shown.weights[0].bar.length == 100


def test_curves_share_a_scale_from_the_least_to_the_most_score():
    """The deletion curve begins at the prediction, at the upper left."""
    deletion = Curve(fractions=[0, 0.5, 1], scores=[0.9, 0.5, 0.5], area=0.6, random_area=0.7)
    insertion = Curve(fractions=[0, 0.5, 1], scores=[0.5, 0.9, 0.9], area=0.8, random_area=0.7)
    measured = Faithfulness(
        deletion=deletion,
        insertion=insertion,
        comprehensiveness=0.4,
        sufficiency=0.0,
        random_comprehensiveness=0.1,
        random_sufficiency=0.2,
    )
    drawn = charts.curves(explained(word("good", 0, 0.4), faithfulness=measured))
    assert drawn.deletion == "66.0,10.0 188.0,136.0 310.0,136.0"
    assert drawn.insertion == "66.0,136.0 188.0,10.0 310.0,10.0"
    assert (drawn.bottom, drawn.top) == (0.5, 0.9)
    assert charts.curves(explained()) is None
