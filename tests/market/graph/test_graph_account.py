"""The account in GraphQL: its money, keys, templates, credentials, secrets, and what it lends."""

from typing import Any

import pytest

from tests.market.graph.conftest import Speaking
from tests.market.lots import CARD

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43 + " me@home"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 42 + "B"
MONEY = "{ myself { clientBalance currentSpendPerHr spendLimit underBalance hostBalance } }"
KEYS = "mutation ($input: UpdateUserSettingsInput) { updateUserSettings(input: $input) { pubKey } }"
SAVE = """mutation ($input: SaveTemplateInput) { saveTemplate(input: $input) {
  id name imageName dockerArgs containerDiskInGb volumeInGb volumeMountPath ports
  env { key value } isServerless portsConfig { port name } readme } }"""
LIST = "query ($input: PodTemplateInput) { podTemplates(input: $input) { id isRunpod isPublic } }"
TEMPLATE = {
    "name": "t",
    "imageName": "img:1",
    "dockerArgs": "",
    "containerDiskInGb": 10,
    "volumeInGb": 0,
    "ports": "",
    "env": [],
    "isServerless": False,
    "containerRegistryAuthId": "",
    "startSsh": True,
    "isPublic": False,
    "readme": "",
}
"""What the Python SDK sends if it is told a name and an image."""
REGISTRY = """mutation ($name: String!, $password: String!) {
  saveRegistryAuth(input: {name: $name, username: "u", password: $password}) { id name } }"""


async def test_an_account_knows_its_money(graphql: Speaking) -> None:
    before = (await graphql.ask(MONEY))["myself"]
    assert (before["clientBalance"], before["currentSpendPerHr"]) == (10, 0)
    await graphql.rent()
    await graphql.market.tick(times=2)
    after = (await graphql.ask(MONEY))["myself"]
    assert after["clientBalance"] < 10
    assert after["currentSpendPerHr"] == pytest.approx(0.36, abs=0.01)
    assert (after["underBalance"], after["hostBalance"]) == (False, 0)


async def test_keys_for_ssh_are_replaced_as_a_whole(graphql: Speaking) -> None:
    sent = {"pubKey": f"{KEY}\n\n{OTHER}\n"}
    saved = (await graphql.ask(KEYS, input=sent))["updateUserSettings"]
    assert saved["pubKey"] == f"{KEY}\n\n{OTHER}"
    assert (await graphql.ask("{ myself { pubKey } }"))["myself"] == saved
    await graphql.ask(KEYS, input={"pubKey": ""})
    assert (await graphql.ask("{ myself { pubKey } }"))["myself"] == {"pubKey": ""}


async def test_what_is_no_key_changes_nothing(graphql: Speaking) -> None:
    await graphql.ask(KEYS, input={"pubKey": KEY})
    error = await graphql.error(KEYS, input={"pubKey": f"{KEY}\nnonsense"})
    assert error["extensions"]["code"] == "invalid_public_key"
    assert (await graphql.ask("{ myself { pubKey } }"))["myself"]["pubKey"] == KEY


async def test_mail_that_is_never_sent_cannot_be_asked_for(graphql: Speaking) -> None:
    error = await graphql.error(KEYS, input={"notifyLowBalance": True})
    assert error["message"] == "this market sends no mail"


async def save(graphql: Speaking, **changes: object) -> dict[str, Any]:
    saved: dict[str, Any] = (await graphql.ask(SAVE, input=TEMPLATE | changes))["saveTemplate"]
    return saved


async def test_a_template_is_made_and_replaced(graphql: Speaking) -> None:
    made = await save(graphql, env=[{"key": "A", "value": "b"}], ports="80/http")
    assert (made["name"], made["env"], made["ports"]) == (
        "t",
        [{"key": "A", "value": "b"}],
        "80/http",
    )
    label = [{"port": "80", "name": "Page"}]
    changed = await save(graphql, id=made["id"], ports="80/http", portsConfig=label, readme="Hi")
    assert (changed["id"], changed["portsConfig"], changed["readme"]) == (made["id"], label, "Hi")
    assert changed["env"] == []


async def test_a_template_is_read_by_its_id_and_deleted_by_its_name(graphql: Speaking) -> None:
    made = await save(graphql)
    read = "query ($id: String!) { podTemplate(id: $id) { name } getTemplate(id: $id) { name } }"
    assert (await graphql.ask(read, id=made["id"]))["podTemplate"] == {"name": "t"}
    await graphql.ask('mutation { deleteTemplate(templateName: "t") }')
    assert (await graphql.ask("{ myself { podTemplates { id } } }"))["myself"]["podTemplates"] == []


async def test_official_templates_and_those_of_others_are_listed_apart(graphql: Speaking) -> None:
    shown = await save(graphql, isPublic=True)
    await save(graphql, name="hidden")
    official = (await graphql.ask(LIST, input={"isRunpod": True}))["podTemplates"]
    community = (await graphql.ask(LIST, input={"isRunpod": False}))["podTemplates"]
    assert {"ollama", "vllm", "puna"} <= {each["id"] for each in official}
    assert community == [{"id": shown["id"], "isRunpod": False, "isPublic": True}]
    assert len((await graphql.ask(LIST))["podTemplates"]) == len(official) + 1


async def test_a_template_of_another_cannot_be_changed(graphql: Speaking) -> None:
    made = await save(graphql, isPublic=True)
    other = await graphql.market.key("other@example.org")
    answer = (await graphql.reply(SAVE, other, input=TEMPLATE | {"id": made["id"]})).json
    assert answer["errors"][0]["extensions"]["code"] == "no_such_template"


async def test_a_credential_is_kept_renewed_and_forgotten(graphql: Speaking) -> None:
    made = (await graphql.ask(REGISTRY, name="hub", password="p"))["saveRegistryAuth"]
    listed = "{ myself { containerRegistryCreds { id name } } }"
    assert (await graphql.ask(listed))["myself"]["containerRegistryCreds"] == [made]
    renew = """mutation ($id: String!) {
      updateRegistryAuth(input: {id: $id, username: "u", password: "new"}) { id name } }"""
    assert (await graphql.ask(renew, id=made["id"]))["updateRegistryAuth"] == made
    forget = "mutation ($id: String!) { deleteRegistryAuth(registryAuthId: $id) }"
    assert await graphql.ask(forget, id=made["id"]) == {"deleteRegistryAuth": True}
    assert "no registry credential" in (await graphql.error(forget, id=made["id"]))["message"]


async def test_a_secret_is_kept_and_never_shown(graphql: Speaking) -> None:
    create = """mutation ($value: String!) {
      secretCreate(input: {name: "token", value: $value, description: "d"}) { id name } }"""
    made = (await graphql.ask(create, value="s3cret"))["secretCreate"]
    listed = await graphql.reply("{ myself { secrets { id name description createdAt } } }")
    assert listed.json["data"]["myself"]["secrets"][0]["createdAt"] == "2026-08-01T12:00:00Z"
    assert b"s3cret" not in listed.body
    delete = "mutation ($id: ID!) { secretDelete(id: $id) }"
    assert await graphql.ask(delete, id=made["id"]) == {"secretDelete": True}


async def test_what_a_secret_is_and_what_is_said_of_it_change_apart(graphql: Speaking) -> None:
    create = """mutation { secretCreate(input: {name: "token", value: "s3cret"}) { id } }"""
    made = (await graphql.ask(create))["secretCreate"]
    renew = """mutation ($id: ID!, $value: String!) {
      secretValueUpdate(input: {id: $id, value: $value}) { id name description } }"""
    told = {"id": made["id"], "name": "token", "description": None}
    assert (await graphql.ask(renew, id=made["id"], value="n3w"))["secretValueUpdate"] == told
    assert "needs a value" in (await graphql.error(renew, id=made["id"], value=""))["message"]
    say = """mutation ($id: ID!, $words: String!) {
      secretDescriptionUpdate(input: {id: $id, description: $words}) { description } }"""
    said = await graphql.ask(say, id=made["id"], words="of the hub")
    assert said == {"secretDescriptionUpdate": {"description": "of the hub"}}
    for query, words in ((renew, {"value": "x"}), (say, {"words": "x"})):
        assert "there is no secret" in (await graphql.error(query, id="other", **words))["message"]
    assert (
        "longer than 1000" in (await graphql.error(say, id=made["id"], words="x" * 1001))["message"]
    )


async def test_an_owner_sees_the_machines_that_are_lent(graphql: Speaking) -> None:
    await graphql.rent()
    owner = await graphql.market.key("second@example.org")
    query = """{ machines { id name location listed gpuTotal gpuReserved hostPricePerGpu
      memoryTotal gpuType { id displayName } pods } }"""
    assert (await graphql.reply(query, owner)).json["data"]["machines"] == []
    of_owner = await graphql.owner_key()
    (seen,) = (await graphql.reply(query, of_owner)).json["data"]["machines"]
    assert (seen["name"], seen["location"], seen["listed"]) == ("box", "PL", True)
    assert (seen["gpuTotal"], seen["gpuReserved"], len(seen["pods"])) == (2, 1, 1)
    assert seen["hostPricePerGpu"] == 0.36
    assert seen["gpuType"] == {"id": CARD, "displayName": "RTX 4090"}


async def test_a_machine_is_shown_to_its_owner_alone(graphql: Speaking) -> None:
    query = "query ($id: String!) { machine(input: {machineId: $id}) { id verified diskTotal } }"
    host = graphql.host.id
    assert await graphql.ask(query, id=host) == {"machine": None}
    seen = (await graphql.reply(query, await graphql.owner_key(), id=host)).json
    assert seen["data"]["machine"] == {"id": host, "verified": False, "diskTotal": 500}
