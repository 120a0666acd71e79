"""Call a model with nothing but `requests`; set MAAS_API_KEY and MAAS_BASE_URL first."""

import os

import requests

api_key = os.environ["MAAS_API_KEY"]
base_url = os.environ["MAAS_BASE_URL"]

headers = {"Authorization": f"Bearer {api_key}"}
url = f"{base_url}/v1/models/text_classification_model/predict"
response = requests.post(url, headers=headers, json={"text": "This is a sample text for classification."})
print(response.json())
