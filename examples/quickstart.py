"""Call a model with the SDK; set MAAS_API_KEY and MAAS_BASE_URL first, or log in once with `maas login`."""

import maas_client

client = maas_client.Client()

for model in client.models.list(task="text-classification"):
    print(model.id, "-", model.description)

result = client.predict("text_classification_model", text="This is a sample text for classification.")
print(result.label, result.score, result.version)

reviews = ["What a wonderful film!", "I want my money back.", "It was not bad at all."]
for review, prediction in zip(
    reviews,
    client.predict_batch("text_classification_model", [{"text": review} for review in reviews]),
    strict=True,
):
    print(f"{prediction.label:<9} {prediction.score:.2f}  {review}")

for version in client.model("text_classification_model").versions.list():
    print(f"version {version.version}: {version.notes}")
