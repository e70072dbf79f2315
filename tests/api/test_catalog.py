"""`GET /api/catalog`: the list of models with this node's verdicts."""

from tests.api.stage import Stage


async def test_the_list_comes_with_verdicts_for_the_node_s_memory(stage: Stage) -> None:
    reply = await stage.ask("GET", "/api/catalog")
    assert reply.status == 200
    models = reply.json["models"]
    assert isinstance(models, list)
    bielik = next(row for row in models if row["name"] == "bielik:11b")
    assert bielik["model"] == "hf.co/speakleash/Bielik-11B-v3.0-Instruct-GGUF:Q4_K_M"
    assert bielik["fits"] == (bielik["needed"] <= bielik["free"])
    assert bielik["languages"] == ["pl", "en"]
    sources = reply.json["sources"]
    assert isinstance(sources, dict)
    assert sources.keys() >= {row["source"] for row in models}
