"""The access log and the numbers: what they tell, and what they never do."""

import re
from pathlib import Path

from tests.api.stage import Stage, staged

SAMPLE = re.compile(
    r'[a-z_]+(\{[a-z_]+="([^"\\\n]|\\.)*"(,[a-z_]+="([^"\\\n]|\\.)*")*\})? [0-9.e+-]+'
)


async def test_the_log_has_a_line_a_request_and_no_prompt(tmp_path: Path) -> None:
    async with staged(tmp_path, access_log=True) as stage:
        await stage.generate("my secret")
        await stage.ask("GET", "/my/secret?key=secret")
    log = tmp_path / "logs" / "access.log"
    lines = log.read_text().splitlines()
    assert re.search(
        r" POST /api/generate 200 \d+\.\d{3}s key=- model=tiny\S* tokens=\d+\+\d+$", lines[0]
    )
    assert " GET (other) 404 " in lines[1]
    assert "secret" not in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


async def test_without_the_setting_there_is_no_log(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.generate()
    assert not (tmp_path / "logs" / "access.log").exists()


async def test_the_numbers_are_prometheus_text(stage: Stage) -> None:
    await stage.generate()
    text = (await stage.ask("GET", "/metrics")).body.decode()
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in samples if not SAMPLE.fullmatch(line)] == []
    assert 'puna_requests_total{method="POST",route="/api/generate",status="200"} 1' in samples
    assert "puna_first_token_seconds_count 1" in samples
    assert 'puna_first_token_seconds_bucket{le="+Inf"} 1' in samples
    assert "puna_loaded_models 1" in samples


async def test_health_tells_that_the_node_is_ready(stage: Stage) -> None:
    reply = await stage.ask("GET", "/health")
    assert (reply.status, reply.json["status"], reply.json["ready"]) == (200, "ok", True)


async def test_a_refused_request_is_logged_and_counted(tmp_path: Path) -> None:
    async with staged(tmp_path, access_log=True, require_keys=True) as stage:
        await stage.ask("GET", "/api/tags", Authorization="Bearer puna_wrong")
        metrics = stage.desk.metrics.text(stage.node)
    line = (tmp_path / "logs" / "access.log").read_text()
    assert " GET /api/tags 401 " in line
    assert "puna_wrong" not in line
    assert 'route="/api/tags",status="401"} 1' in metrics


async def test_a_log_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    async with staged(tmp_path, access_log=True) as stage:
        assert (await stage.generate()).status == 200


async def test_a_log_that_has_grown_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "access.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * (10 * 2**20))
    async with staged(tmp_path, access_log=True) as stage:
        await stage.generate()
        await stage.generate()
    assert len(log.read_text().splitlines()) == 1


async def test_a_prompt_that_was_cut_is_counted(stage: Stage) -> None:
    await stage.generate("word " * 9000, options={"num_ctx": 64})
    text = (await stage.ask("GET", "/metrics")).body.decode()
    assert "puna_truncated_prompts_total 1" in text
