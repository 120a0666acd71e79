import tomllib

from hypothesis import given
from hypothesis import strategies as st

from maas_client.types import Column, ImagePreprocessing, Manifest, Metric, Preprocessing, Serving
from reference_server.manifest_files import manifest_file

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=50)


@given(texts, texts, st.dictionaries(texts, st.integers(-9, 9) | st.floats(allow_nan=False) | texts))
def test_a_manifest_comes_back_as_it_was(description, licence, example):
    """Whatever its texts hold, the TOML reads back as the same manifest."""
    finite = {name: value for name, value in example.items() if value not in (float("inf"), -float("inf"))}
    manifest = Manifest(task="tensor", description=description, license=licence, example=finite)
    (content,) = manifest_file(manifest).values()
    assert Manifest.model_validate(tomllib.loads(content.decode())) == manifest


def test_nested_tables_and_numbers_come_back():
    """Columns, pictures, metrics and lists of lists keep their values and types."""
    manifest = Manifest(
        task="image-classification",
        description="d",
        license="MIT",
        labels=["a", "b"],
        preprocessing=Preprocessing(
            image=ImagePreprocessing(width=8, height=4, mode="L", mean=[0.5]),
            columns=[Column(name="a b", unit="kg/m²"), Column(name="c", type="string", categories=["x"])],
        ),
        serving=Serving(batching=True),
        metrics=[Metric(name="accuracy", value=0.25, dataset="d", rows=3)],
        example={"image": [[0, 255], [1, 2]], "a b": 1.5},
    )
    (content,) = manifest_file(manifest).values()
    assert Manifest.model_validate(tomllib.loads(content.decode())) == manifest
    assert b"max_characters" not in content
