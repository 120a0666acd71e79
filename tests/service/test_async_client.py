import asyncio
import secrets

import pytest

import maas_client

MODEL = "text_classification_model"


def test_the_four_steps_under_asyncio(demo, text_package, tmp_path, monkeypatch):
    """Register, log in, choose, call, publish, read versions: the same surface, awaited."""

    async def main():
        async with maas_client.AsyncClient(base_url=demo.url) as client:
            person = {"email": f"{secrets.token_hex(4)}@example.com", "password": "correct horse battery"}
            await client.register(**person, accept_policy=True)
            await client.login(**person, save=True)
            assert MODEL in [model.id async for model in client.models.list(page_size=1)]
            result = await client.predict(MODEL, text="I love it")
            assert (result.label, result.model) == ("positive", MODEL)
            rows = await client.predict_batch(MODEL, [{"text": "good"}, {"text": "bad"}])
            assert len(rows) == 2
            version = await client.models.publish(text_package, name="words", notes="First.")
            assert version.version == 1
            handle = client.model("words")
            assert [listed.digest async for listed in handle.versions.list()] == [version.digest]
            assert (await handle.aliases.move("stable", version=1)).version == 1
            with pytest.raises(maas_client.UnprocessableError, match="the input 'text' is missing"):
                await handle.predict(txt="x")
            await client.logout()
            with pytest.raises(maas_client.MaasError, match="log in"):
                await client.account.get()

    monkeypatch.setenv("MAAS_CONFIG_FILE", str(tmp_path / "config.toml"))
    monkeypatch.delenv("MAAS_API_KEY", raising=False)
    asyncio.run(main())
