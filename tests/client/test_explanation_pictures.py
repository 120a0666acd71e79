"""Explanations as a notebook shows them and as matplotlib draws them."""

from __future__ import annotations

import base64
import io
import sys
from html.parser import HTMLParser

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from maas_client import errors
from maas_client.explanations import Explanation, ExplanationsCompared
from maas_client.testing import FakeMaas

MINUS = "\N{MINUS SIGN}"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>&\"'"
TEXT = "A dull <b>plot</b>, but lovely music"
SPANS = [
    {"feature": "dull", "input": "text", "value": -0.2, "standard_error": 0.01, "start": 2, "end": 6},
    {"feature": "lovely", "input": "text", "value": 0.4, "standard_error": 0.02, "start": 24, "end": 30},
    {"feature": "A", "input": "text", "value": 0.001, "start": 0, "end": 1},
]
CURVE = {"fractions": [0.0, 0.5, 1.0], "scores": [0.7, 0.1, 0.5], "area": 0.35, "random_area": 0.6}
FAITHFULNESS = {
    "deletion": CURVE,
    "insertion": {**CURVE, "random_scores": [0.7, 0.6, 0.5]},
    "comprehensiveness": 0.61,
    "sufficiency": 0.0,
    "random_comprehensiveness": 0.12,
    "random_sufficiency": 0.4,
}
TAGS = {"div", "b", "table", "tr", "td", "th", "span", "img", "svg", "polyline", "polygon"}


@pytest.fixture(autouse=True)
def _without_a_screen(monkeypatch):
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


class Checker(HTMLParser):
    """Collects texts and pictures; refuses what a page must not hold."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.pictures = [], [], []

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS
        values = dict(attrs)
        assert not any(name.startswith("on") or name == "href" for name in values)
        assert "url" not in values.get("style", "")
        if tag == "img":
            assert values["src"].startswith("data:image/")
            self.pictures.append(values["src"])
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def checked(thing):
    checker = Checker()
    checker.feed(thing._repr_html_())
    checker.close()
    assert checker.open == []
    return checker


def made(inputs=None, **fields):
    told = {
        **dict.fromkeys(("id", "model", "digest", "device"), "x"),
        "version": 2,
        "target": "glad",
        "method": "kernel",
        "unit": "words",
        "masking": "delete",
        "seed": 7,
        "prediction": 0.7,
        "baseline": 0.499,
        "attributions": SPANS,
        "additivity_gap": 0.0,
        "evaluations": 128,
        "faithfulness": FAITHFULNESS,
        **fields,
    }
    return Explanation.model_validate(told).of({"text": TEXT} if inputs is None else inputs)


def regions(size=2):
    return [
        {"feature": f"r{row}{column}", "input": "image", "value": row - 0.5 + column / 10,
         "box": [column * 4, row * 4, column * 4 + 4, row * 4 + 4]}
        for row in range(size) for column in range(size)
    ]  # fmt: skip


def picture(kind="PNG"):
    content = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 10, 10)).save(content, kind)
    return content.getvalue()


def test_words_are_coloured_and_nothing_is_markup():
    """The text's own tags are text; blue with a solid line speaks for the target, red dashed against it."""
    html = made()._repr_html_()
    assert "&lt;b&gt;plot&lt;/b&gt;" in html
    assert "<b>plot" not in html
    towards = "background:rgba(60,130,230,0.55);border-radius:.2em;border-bottom:2px solid rgb(60,130,230)"
    away = "background:rgba(220,60,50,0.28);border-radius:.2em;border-bottom:2px dashed rgb(220,60,50)"
    assert f'<span style="{towards}" title="+0.4 ±0.02">lovely</span>' in html
    assert f'<span style="{away}" title="{MINUS}0.2 ±0.01">dull</span>' in html
    assert 'border-radius:.2em" title="+0.001">A</span>' in html  # too light for a line
    text = "".join(checked(made()).text)
    assert "glad: 0.7 = baseline 0.499 +0.201 by the words" in text
    assert f"+ blue, solid speaks for glad, {MINUS} red, dashed against it" in text


def test_how_far_to_trust_it_is_told_and_drawn():
    """In plain words, and as a curve beside that of random orders; nothing where it was not measured."""
    text = "".join(checked(made()).text)
    assert "Without its most important words the score falls by 0.61" in text
    assert "taken away: area 0.35, random 0.6: lower is better" in text
    html = made()._repr_html_()
    assert html.count("<svg") == 2
    # The area alone, of an older server, is the mean height of what random orders come to.
    assert html.count("stroke-dasharray") == 2
    assert "<svg" not in made(faithfulness=None)._repr_html_()


@pytest.mark.parametrize(
    "spans", [[(0, 5), (3, 8)], [(-1, 4), (2, 6)], [(5, 2)], [(0, 10_000)], [(None, None)], [(4, 4)], []]
)
def test_spans_that_make_no_sense_lose_no_text(spans):
    """Whatever a server says about offsets, the text is shown whole and once."""
    attributions = [
        {"feature": "x", "input": "text", "value": 0.1, "start": start, "end": end} for start, end in spans
    ]
    more = {"feature": "y", "input": "text", "value": 0.0, "start": 0, "end": 0}
    shown = checked(made({"text": "plain words"}, attributions=[*attributions, more]))
    assert "plain words" in "".join(shown.text)


def test_what_others_wrote_cannot_become_markup():
    """Targets, features, notes, models, titles and inputs are escaped everywhere."""
    rows = [{"feature": HOSTILE, "input": HOSTILE, "value": 1.0, "start": 0, "end": 9}]
    one = made({HOSTILE: HOSTILE}, attributions=rows, target=HOSTILE, notes=[HOSTILE], model=HOSTILE)
    boxes = made({}, attributions=[{**each, "feature": HOSTILE} for each in regions()])
    fake = FakeMaas()
    fake.add_model("m", answer={"label": HOSTILE, "score": 1.0, "scores": {HOSTILE: 1.0}})
    many = fake.client().explain_many("m", [{"text": HOSTILE}]).result
    for thing in (one, boxes, many, many.importance, ExplanationsCompared(one, one)):
        assert "<script" not in thing._repr_html_()
        assert "<img" not in thing._repr_html_()
        checked(thing)


@pytest.mark.parametrize(
    "attributions", [[], [{"feature": "rooms", "input": "rooms", "value": float("nan")}]]
)
def test_what_has_nothing_to_show_is_shown_too(attributions):
    """An empty text has no features, and not every number is one."""
    assert "baseline" in "".join(checked(made({"text": ""}, attributions=attributions)).text)


def test_a_table_is_explained_by_its_columns():
    """No text to colour, only weights; large ones to the unit."""
    rows = [{"feature": "rooms", "input": "rooms", "value": 123456.7}]
    text = checked(made({"rooms": 3}, attributions=rows, unit="columns")).text
    assert {"rooms", "+123,457"} <= set(text)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_regions_lie_over_the_picture(kind):
    """Where the instance holds it as base64; with the signs of those that count."""
    sent = base64.b64encode(picture(kind)).decode()
    shown = checked(made({"image": sent}, attributions=regions()))
    assert shown.pictures == [f"data:image/{kind.lower()};base64,{sent}"]
    assert (shown.text.count("+"), shown.text.count(MINUS)) == (2, 2)
    assert (
        "left:50.00%;top:0.00%;width:50.00%;height:50.00%" in made({}, attributions=regions())._repr_html_()
    )


@pytest.mark.parametrize("image", [None, "no base64!", base64.b64encode(b"<svg>").decode(), [[0, 1]], "é"])
def test_without_a_picture_there_is_the_grid(image):
    """Of pixels, or of something that is no PNG and no JPEG."""
    assert checked(made({"image": image}, attributions=regions())).pictures == []


def test_many_are_a_table_of_what_counts_and_a_row_each():
    """Twenty rows at most, and how many more there are."""
    fake = FakeMaas()
    fake.add_model("mood", labels=["sad", "glad"], answer="glad")
    many = fake.client().explain_many("mood", [f"w{index}" for index in range(30)]).result
    text = " ".join(checked(many).text)
    assert "What counts over all rows" in text
    assert text.count("and 10 more") == 2
    assert "mood version 1 on cpu, 30 rows" in text


def test_two_versions_are_side_by_side_on_one_scale():
    """The same shade means the same weight in both."""
    weak = made(version=3, attributions=[{**each, "value": each["value"] / 2} for each in SPANS])
    html = ExplanationsCompared(made(), weak)._repr_html_()
    assert "rgba(60,130,230,0.55)" in html
    assert (
        'rgba(60,130,230,0.28);border-radius:.2em;border-bottom:2px solid rgb(60,130,230)" title="+0.2'
        in html
    )
    text = " ".join(checked(ExplanationsCompared(made(), weak)).text)
    assert "rank correlation of 1.00" in text
    assert f"{MINUS}0.2" in text


def pixels(axes):
    axes.figure.canvas.draw()
    return np.asarray(axes.figure.canvas.buffer_rgba())


def labels(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_a_waterfall_leads_from_the_baseline_to_the_prediction():
    """The heaviest at the top, the rest in one, the gap where there is one."""
    axes = made(additivity_gap=0.05, prediction=0.65).plot(most=1)
    assert labels(axes) == ["2 others", "lovely", "(gap)"]
    rest, heaviest, gap = axes.patches
    assert rest.get_x() + rest.get_width() == pytest.approx(0.499 - 0.2 + 0.001)
    assert heaviest.get_x() == pytest.approx(0.3)
    assert gap.get_x() + gap.get_width() == pytest.approx(0.65)
    assert (rest.get_hatch(), heaviest.get_hatch()) == ("////", None)
    assert pixels(axes).std() > 0


def test_bars_have_their_standard_errors():
    """Those that there are; exact values have none."""
    axes = made().plot("bar")
    assert labels(axes) == ["A", "dull", "lovely"]
    widths = [path.vertices[:, 0] for each in axes.collections for path in each.get_paths()]
    assert any(np.allclose(sorted(ends), [0.38, 0.42]) for ends in widths)
    assert "one standard error" in axes.get_xlabel()


def test_curves_stand_beside_those_of_chance():
    """What is told of random orders, and else their mean height."""
    axes = made().plot("curves")
    drawn = [line.get_ydata().tolist() for line in axes.get_lines()]
    assert drawn == [[0.7, 0.1, 0.5], [0.6, 0.6, 0.6], [0.7, 0.1, 0.5], [0.7, 0.6, 0.5]]
    with pytest.raises(errors.ArgumentError, match="ask for it with faithfulness=True"):
        made(faithfulness=None).plot("curves")


@pytest.mark.parametrize("form", ["bytes", "file", "path", "image", "array", "own"])
def test_regions_are_drawn_over_the_picture(form, tmp_path):
    """Whatever the picture is; the instance's own needs not be passed."""
    (tmp_path / "a.png").write_bytes(picture())
    image = {
        "bytes": picture(),
        "file": io.BytesIO(picture()),
        "path": tmp_path / "a.png",
        "image": Image.new("L", (8, 8)),
        "array": np.zeros((8, 8, 3), dtype=np.uint8),
        "own": None,
    }[form]
    inputs = {"image": base64.b64encode(picture()).decode()} if form == "own" else {}
    axes = made(inputs, attributions=regions()).plot(image=image)
    assert len(axes.patches) == 4
    assert axes.patches[1].get_xy() == (3.5, -0.5)
    assert pixels(axes).std() > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "pie"}, "kind is 'pie', expected one of waterfall, bar, curves, image"),
        ({"most": 0}, "most is 0, expected 1 or more"),
        ({"kind": "image"}, "no regions of an image"),
    ],
)
def test_what_cannot_be_drawn_says_so(options, said):
    """With what there is."""
    with pytest.raises(errors.ArgumentError, match=said):
        made().plot(**options)
    with pytest.raises(errors.ArgumentError, match="pass it: plot"):
        made({}, attributions=regions()).plot("image")


def test_a_dollar_sign_is_no_formula_and_a_plot_goes_where_it_is_told():
    """Words of others are drawn as they are, on axes of one's own."""
    rows = [{**SPANS[0], "feature": "$\\frac$ 5_x^2\n"}]
    _, axes = plt.subplots()
    assert made(attributions=rows, target="$\\x$").plot("bar", ax=axes) is axes
    pixels(axes)
    assert labels(axes) == ["$\\frac$ 5_x^2 "]


def test_importance_and_two_versions_are_drawn():
    """Intervals where there are some, and a bar for each version."""
    fake = FakeMaas()
    fake.add_model("mood", labels=["sad", "glad"], answer="glad")
    many = fake.client().explain_many("mood", ["a b", "b c"]).result
    assert labels(many.plot(most=2)) == labels(many.importance.plot(most=2))
    interval = many.reply.importance[0].model_copy(update={"mean_absolute": 0.5, "interval": (0.4, 0.7)})
    with_interval = type(many.importance)([interval]).plot()
    ends = [path.vertices[:, 0] for each in with_interval.collections for path in each.get_paths()]
    assert any(np.allclose(sorted(each), [0.4, 0.7]) for each in ends)
    axes = ExplanationsCompared(made(), made(version=3)).plot()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["version 2: 0.7", "version 3: 0.7"]
    pixels(axes)


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    """And nothing else needs it."""
    with monkeypatch.context() as without:
        for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
            without.delitem(sys.modules, name)
        without.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'maas-client\[plot\]'"):
            made().plot()
    checked(made())
