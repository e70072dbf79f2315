"""A renter's day in GraphQL: rent, look, stop, start, change, terminate."""

from typing import Any

import pytest

from tests.market.graph.conftest import RENT, WANTED, Speaking

SPOT = """mutation ($input: PodRentInterruptableInput!) {
  podRentInterruptable(input: $input) { id podType bidPerGpu } }"""
CPU = """mutation ($input: deployCpuPodInput!) {
  deployCpuPod(input: $input) { id gpuCount vcpuCount } }"""
POD = """query ($id: String) { pod(input: {podId: $id}) {
  id name desiredStatus lastStatusChange imageName env ports podType costPerHr gpuCount vcpuCount
  memoryInGb containerDiskInGb volumeInGb volumeMountPath machineId uptimeSeconds locked
  machine { podHostId gpuDisplayName location }
  runtime { uptimeInSeconds ports { privatePort } } } }"""
ACT = "mutation ($id: String!) {{ pod{}(input: {{podId: $id}}) {{ id desiredStatus }} }}"
END = "mutation ($id: String!) { podTerminate(input: {podId: $id}) }"
EDIT = """mutation ($input: PodEditJobInput!) {
  podEditJob(input: $input) { imageName env ports locked } }"""
PODS = "{ myself { pods { id desiredStatus } } }"


async def look(graphql: Speaking, pod: str) -> dict[str, Any]:
    found: dict[str, Any] = (await graphql.ask(POD, id=pod))["pod"]
    return found


async def test_a_pod_is_rented_and_shown(graphql: Speaking) -> None:
    pod = await graphql.rent(ports="8888/http,22/tcp", env=[{"key": "A", "value": "b"}])
    shown = await look(graphql, pod)
    assert (shown["name"], shown["imageName"], shown["env"]) == ("mine", "img:1", ["A=b"])
    assert (shown["ports"], shown["podType"], shown["gpuCount"]) == (
        "8888/http,22/tcp",
        "RESERVED",
        1,
    )
    assert shown["machine"]["gpuDisplayName"] == "RTX 4090"
    assert (shown["machineId"], shown["machine"]["location"]) == (graphql.host.id, "PL")
    assert shown["lastStatusChange"].startswith("Rented by User: Sat Aug 01 2026 12:00:00 GMT")


async def test_what_is_wanted_is_shown_at_once_and_what_runs_when_it_runs(
    graphql: Speaking,
) -> None:
    pod = await graphql.rent()
    shown = await look(graphql, pod)
    assert (shown["desiredStatus"], shown["runtime"]) == ("RUNNING", None)
    await graphql.market.tick(times=2)
    shown = await look(graphql, pod)
    assert shown["runtime"]["uptimeInSeconds"] == shown["uptimeSeconds"] == 60


async def test_a_task_of_the_sdks_second_version_is_rented(graphql: Speaking) -> None:
    wanted = {"gpuTypeIdList": ["NVIDIA L4", WANTED["gpuTypeId"]], "volumeMounts": []}
    pod = await graphql.rent(**wanted, dataCenterIds=["US-KS-2", "EU-PL-1"])
    assert (await look(graphql, pod))["machineId"] == graphql.host.id
    error = await graphql.error(RENT, input=WANTED | wanted | {"dataCenterIds": ["US-KS-2"]})
    assert error["message"].startswith("There are no longer any instances available")


async def test_sizes_are_whole_numbers_and_prices_are_not(graphql: Speaking) -> None:
    pod = await graphql.rent()
    shown = await look(graphql, pod)
    whole = ("gpuCount", "vcpuCount", "memoryInGb", "containerDiskInGb", "volumeInGb")
    assert all(type(shown[name]) is int for name in whole)
    assert shown["costPerHr"] == pytest.approx(0.36, abs=0.01)


async def test_a_pod_stops_starts_and_restarts(graphql: Speaking) -> None:
    pod = await graphql.rent()
    await graphql.market.tick()
    stopped = await graphql.ask(ACT.format("Stop"), id=pod)
    assert stopped["podStop"] == {"id": pod, "desiredStatus": "EXITED"}
    assert (await look(graphql, pod))["lastStatusChange"].startswith("Exited by User")
    await graphql.market.tick()
    started = await graphql.ask(ACT.format("Resume"), id=pod)
    assert started["podResume"]["desiredStatus"] == "RUNNING"
    await graphql.market.tick(times=2)
    assert (await graphql.ask(ACT.format("Restart"), id=pod))["podRestart"]["id"] == pod


async def test_a_pod_starts_with_the_cards_that_it_has(graphql: Speaking) -> None:
    pod = await graphql.rent()
    await graphql.ask(ACT.format("Stop"), id=pod)
    await graphql.market.tick()
    query = (
        "mutation ($id: String!, $n: Int) { podResume(input: {podId: $id, gpuCount: $n}) { id } }"
    )
    assert "has 1 cards" in (await graphql.error(query, id=pod, n=2))["message"]
    assert "errors" not in (await graphql.reply(query, id=pod, n=1)).json


async def test_a_terminated_pod_leaves_the_list(graphql: Speaking) -> None:
    pod = await graphql.rent()
    await graphql.market.tick()
    assert await graphql.ask(END, id=pod) == {"podTerminate": None}
    assert (await graphql.error(END, id=pod))["message"] == "pod not found to terminate"
    assert (await graphql.ask(PODS))["myself"]["pods"] == []
    assert (await graphql.ask(POD, id=pod)) == {"pod": None}


async def test_a_pod_that_is_not_there_is_null_and_cannot_be_terminated(graphql: Speaking) -> None:
    assert await graphql.ask(POD, id="nosuchpod") == {"pod": None}
    error = await graphql.error(END, id="nosuchpod")
    assert error["message"] == "pod not found to terminate"
    assert error["extensions"]["code"] == "no_such_pod"


async def test_nobody_sees_or_ends_the_pod_of_another(graphql: Speaking) -> None:
    pod = await graphql.rent()
    other = await graphql.market.key("other@example.org", "10")
    seen = (await graphql.reply(POD, other, id=pod)).json
    assert seen["data"]["pod"] is None
    assert "errors" in (await graphql.reply(END, other, id=pod)).json
    assert (await look(graphql, pod))["desiredStatus"] == "RUNNING"


async def test_without_a_place_the_words_are_runpods_and_the_reasons_are_ours(
    graphql: Speaking,
) -> None:
    error = await graphql.error(RENT, input=WANTED | {"gpuCount": 3})
    assert error["message"].startswith("There are no longer any instances available")
    assert error["path"] == ["podFindAndDeployOnDemand"]
    assert error["extensions"]["code"] == "no_capacity"
    refusal = {"host": graphql.host.id, "why": "too small"}
    assert error["extensions"]["refusals"] == [refusal]


async def test_without_money_nothing_is_rented(graphql: Speaking) -> None:
    poor = await graphql.market.key("poor@example.org")
    answer = (await graphql.reply(RENT, poor, input=WANTED)).json
    assert answer["errors"][0]["extensions"]["code"] == "not_enough_money"


async def test_a_spot_pod_has_a_bid_and_bids_again(graphql: Speaking) -> None:
    rented = await graphql.ask(SPOT, input=WANTED | {"bidPerGpu": 0.15})
    pod = rented["podRentInterruptable"]
    assert (pod["podType"], pod["bidPerGpu"]) == ("INTERRUPTABLE", 0.15)
    await graphql.market.tick()
    await graphql.ask(ACT.format("Stop"), id=pod["id"])
    await graphql.market.tick()
    again = """mutation ($id: String!, $bid: Float!, $n: Int!) {
      podBidResume(input: {podId: $id, bidPerGpu: $bid, gpuCount: $n}) {
        id costPerHr desiredStatus lastStatusChange bidPerGpu } }"""
    started = (await graphql.ask(again, id=pod["id"], bid=0.2, n=1))["podBidResume"]
    assert (started["desiredStatus"], started["bidPerGpu"]) == ("RUNNING", 0.2)
    assert started["costPerHr"] == pytest.approx(0.2, abs=0.01)


async def test_what_cannot_be_interrupted_has_no_bid(graphql: Speaking) -> None:
    assert "bidPerGpu" in (await graphql.error(SPOT, input=WANTED))["message"]
    pod = await graphql.rent()
    await graphql.ask(ACT.format("Stop"), id=pod)
    again = "mutation ($id: String!) { podBidResume(input: {podId: $id, bidPerGpu: 1.0}) { id } }"
    assert (await graphql.error(again, id=pod))["message"] == "only a spot pod has a bid"


async def test_a_pod_without_a_card_has_the_size_of_its_instance(graphql: Speaking) -> None:
    sent = {"imageName": "img:1", "instanceId": "cpu3c-4-8", "templateId": "runpod-ubuntu"}
    pod = (await graphql.ask(CPU, input=sent))["deployCpuPod"]
    assert (pod["gpuCount"], pod["vcpuCount"]) == (0, 4)
    shown = await look(graphql, pod["id"])
    assert (shown["imageName"], shown["name"]) == ("img:1", "img:1")


async def test_a_pod_is_changed_and_locked(graphql: Speaking) -> None:
    pod = await graphql.rent(env=[{"key": "A", "value": "b"}])
    change = {"podId": pod, "imageName": "img:2", "env": [], "ports": "80/http"}
    changed = (await graphql.ask(EDIT, input=change))["podEditJob"]
    assert changed == {"imageName": "img:2", "env": [], "ports": "80/http", "locked": False}
    await graphql.ask(EDIT, input={"podId": pod, "locked": True})
    assert (await graphql.error(ACT.format("Stop"), id=pod))["extensions"]["code"] == "pod_locked"


async def test_a_template_fills_a_pod(graphql: Speaking) -> None:
    sent = {"name": "n", "imageName": "", "templateId": "ollama", "gpuCount": 1}
    pod = (await graphql.ask(RENT, input=sent))["podFindAndDeployOnDemand"]["id"]
    shown = await look(graphql, pod)
    assert shown["imageName"].startswith("docker.io/ollama/ollama:")
    assert (shown["ports"], shown["volumeMountPath"]) == ("11434/http", "/root/.ollama")


async def test_a_public_address_is_a_condition(graphql: Speaking) -> None:
    error = await graphql.error(RENT, input=WANTED | {"supportPublicIp": True})
    assert error["extensions"]["refusals"][0]["why"] == "no public address"


async def test_of_the_sdk_a_public_address_is_a_wish(graphql: Speaking) -> None:
    graphql.agent = "RunPod-Python-SDK/1.12.0 (Linux; x86_64) Language/Python 3.11"
    private = await graphql.rent(supportPublicIp=True)
    assert (await look(graphql, private))["machineId"] == graphql.host.id
    public = await graphql.market.host("public", public_ip="203.0.113.7", price=900_000)
    await graphql.market.report(public)
    assert (await look(graphql, await graphql.rent(supportPublicIp=True)))["machineId"] == public.id


async def test_a_mutation_without_its_input_is_refused(graphql: Speaking) -> None:
    error = await graphql.error("mutation { podStop { id } }")
    assert error["message"] == "podStop needs an input"


async def test_all_pods_are_listed_however_many(graphql: Speaking) -> None:
    await graphql.market.report(graphql.host)
    pods = [await graphql.rent() for _ in range(2)]
    listed = (await graphql.ask(PODS))["myself"]["pods"]
    assert {each["id"] for each in listed} == set(pods)


async def test_what_only_this_market_knows_travels_in_one_object(graphql: Speaking) -> None:
    puna = {"project": "p", "budget": "1.50", "tenure": "spot", "bid": 0.2, "idleStop": "30m"}
    pod = await graphql.rent(ports="80/http", puna=puna | {"access": {"80": "open"}})
    query = "query ($id: String) { pod(input: {podId: $id}) { podType bidPerGpu puna } }"
    shown = (await graphql.ask(query, id=pod))["pod"]
    assert (shown["podType"], shown["bidPerGpu"]) == ("INTERRUPTABLE", 0.2)
    assert (shown["puna"]["project"], shown["puna"]["bid"]) == ("p", "0.20")
    assert shown["puna"]["access"] == {"80": "open"}


async def test_what_nobody_knows_is_refused_by_its_place(graphql: Speaking) -> None:
    error = await graphql.error(RENT, input=WANTED | {"puna": {"shoeSize": 42}})
    assert error["message"].startswith("puna.shoeSize: extra inputs")


@pytest.mark.parametrize(
    ("when", "shown"),
    [("2026-08-01T12:03:00Z", "2026-08-01T12:03:00Z"), ("3m", "2026-08-01T12:03:00Z")],
)
async def test_a_time_to_stop_is_kept(graphql: Speaking, when: str, shown: str) -> None:
    pod = await graphql.rent(stopAfter=when)
    query = "query ($id: String) { pod(input: {podId: $id}) { stopAfter lastStatusChange } }"
    assert (await graphql.ask(query, id=pod))["pod"]["stopAfter"] == shown
    await graphql.market.tick(times=5)
    assert (await look(graphql, pod))["desiredStatus"] == "EXITED"
    assert (await graphql.ask(query, id=pod))["pod"]["lastStatusChange"].startswith(
        "Exited by Runpod"
    )


async def test_a_time_to_end_is_kept(graphql: Speaking) -> None:
    pod = await graphql.rent(terminateAfter="2m")
    await graphql.market.tick(times=4)
    assert await graphql.ask(POD, id=pod) == {"pod": None}


async def test_a_pod_is_given_what_it_asked_for(graphql: Speaking) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43 + " me"
    settings = "mutation ($key: String) { updateUserSettings(input: {pubKey: $key}) { id } }"
    await graphql.ask(settings, key=key)
    secret = 'mutation { secretCreate(input: {name: "token", value: "s3cret"}) { id } }'
    await graphql.ask(secret)
    env = [{"key": "TOKEN", "value": "{{ RUNPOD_SECRET_token }}"}]
    pod = await graphql.rent(startSsh=True, startJupyter=True, env=env)
    await graphql.market.tick()
    (order,) = graphql.host.orders.pods
    assert (order.pod, order.env["TOKEN"]) == (pod, "s3cret")
    assert order.env["PUBLIC_KEY"].startswith("ssh-ed25519")
    assert order.env["JUPYTER_PASSWORD"]
    assert "TOKEN={{ RUNPOD_SECRET_token }}" in (await look(graphql, pod))["env"]
