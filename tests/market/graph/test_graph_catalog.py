"""What can be rented, in GraphQL; and what RunPod has that this market has not."""

import pytest

from puna.market.http.graph.asked import Asked
from puna.market.http.graph.bounds import MOST_HOSTS, QueryTooLarge
from tests.market.graph.conftest import Speaking
from tests.market.lots import CARD

CARDS = """query ($input: GpuTypeFilter) { gpuTypes(input: $input) {
  id displayName manufacturer memoryInGb maxGpuCount secureCloud communityCloud
  securePrice communityPrice communitySpotPrice oneMonthPrice } }"""
LOWEST = """query ($input: GpuLowestPriceInput!) { gpuTypes { lowestPrice(input: $input) {
  gpuName gpuTypeId minimumBidPrice uninterruptablePrice minMemory minVcpu stockStatus
  availableGpuCounts } } }"""


async def test_cards_are_listed_with_their_prices(graphql: Speaking) -> None:
    assert (await graphql.ask(CARDS))["gpuTypes"] == [
        {
            "id": CARD,
            "displayName": "RTX 4090",
            "manufacturer": "Nvidia",
            "memoryInGb": 24,
            "maxGpuCount": 2,
            "secureCloud": False,
            "communityCloud": True,
            "securePrice": None,
            "communityPrice": 0.36,
            "communitySpotPrice": 0.1,
            "oneMonthPrice": None,
        }
    ]


async def test_a_card_that_nobody_lends_is_an_empty_list(graphql: Speaking) -> None:
    assert await graphql.ask(CARDS, input={"id": "NVIDIA B200"}) == {"gpuTypes": []}


async def test_the_lowest_price_is_of_what_is_free(graphql: Speaking) -> None:
    (card,) = (await graphql.ask(LOWEST, input={"gpuCount": 1}))["gpuTypes"]
    assert card["lowestPrice"] == {
        "gpuName": "RTX 4090",
        "gpuTypeId": CARD,
        "minimumBidPrice": 0.1,
        "uninterruptablePrice": 0.36,
        "minMemory": 64,
        "minVcpu": 16,
        "stockStatus": "Low",
        "availableGpuCounts": [1, 2],
    }
    await graphql.rent(gpuCount=2)
    (card,) = (await graphql.ask(LOWEST, input={"gpuCount": 1}))["gpuTypes"]
    assert card["lowestPrice"]["uninterruptablePrice"] is None
    assert card["lowestPrice"]["stockStatus"] == "None"


async def test_a_request_looks_at_no_more_hosts_than_it_may(graphql: Speaking) -> None:
    asked = Asked(graphql.market.market, await graphql.market.account("ann@example.org"))
    asked.count(MOST_HOSTS)
    with pytest.raises(QueryTooLarge, match="more than 50000 hosts"):
        asked.count(1)


async def test_data_centers_say_which_cards_they_have(graphql: Speaking) -> None:
    query = """{ dataCenters { id name location
      gpuAvailability { gpuTypeId displayName stockStatus available } } }"""
    assert (await graphql.ask(query))["dataCenters"] == [
        {
            "id": "EU-PL-1",
            "name": "EU-PL-1",
            "location": "Europe",
            "gpuAvailability": [
                {
                    "gpuTypeId": CARD,
                    "displayName": "RTX 4090",
                    "stockStatus": "Low",
                    "available": True,
                }
            ],
        }
    ]


async def test_processors_have_flavours_and_prices(graphql: Speaking) -> None:
    await graphql.market.report(await graphql.market.host("plain", card="", cards=0, price=20_000))
    query = """query ($input: CpuFlavorInput, $one: SpecificsInput) { cpuFlavors(input: $input) {
      id ramMultiplier specifics(input: $one) { stockStatus securePrice communityPrice } } }"""
    asked = {"input": {"id": "cpu3c"}, "one": {"instanceId": "cpu3c-4-8"}}
    (flavour,) = (await graphql.ask(query, **asked))["cpuFlavors"]
    assert (flavour["id"], flavour["ramMultiplier"]) == ("cpu3c", 2)
    assert flavour["specifics"] == {
        "stockStatus": "Low",
        "securePrice": None,
        "communityPrice": 0.08,
    }
    names = (await graphql.ask("{ cpuTypes { id displayName groupId } }"))["cpuTypes"]
    assert {"cpu3c", "cpu5m"} <= {each["id"] for each in names}


async def test_the_hub_has_the_markets_templates(graphql: Speaking) -> None:
    query = """query ($input: ListingsInput!) { listings(input: $input) { id type repoOwner repoName
      title listedRelease { config build { imageName } } } }"""
    found = (await graphql.ask(query, input={"searchQuery": "VLLM"}))["listings"]
    (vllm,) = found
    assert (vllm["id"], vllm["type"], vllm["repoOwner"]) == ("vllm", "POD", "puna")
    assert vllm["listedRelease"]["build"]["imageName"].startswith("docker.io/vllm/")
    assert '"runsOn": "GPU"' in vllm["listedRelease"]["config"]
    names = [each["id"] for each in (await graphql.ask(query, input={}))["listings"]]
    page = await graphql.ask(query, input={"limit": 2, "offset": 2})
    assert [each["id"] for each in page["listings"]] == names[2:4]
    for sought in ({"searchQuery": "zzz"}, {"owner": "runpod"}, {"limit": 0}, {"category": "cpus"}):
        assert (await graphql.ask(query, input=sought))["listings"] == []


async def test_one_of_the_hub_is_found_by_id_and_by_its_names(graphql: Speaking) -> None:
    query = """{ listing(id: "ollama") { id } none: listing(id: "x") { id }
      listingFromRepo(repoOwner: "puna", repoName: "ollama") { title }
      other: listingFromRepo(repoOwner: "x", repoName: "ollama") { title } }"""
    assert await graphql.ask(query) == {
        "listing": {"id": "ollama"},
        "none": None,
        "listingFromRepo": {"title": "Ollama"},
        "other": None,
    }


async def test_cards_are_found_in_runpods_pools(graphql: Speaking) -> None:
    pools = (await graphql.ask("{ serverlessGpuPools { id gpuTypeIds } }"))["serverlessGpuPools"]
    assert pools == [{"id": "ADA_24", "gpuTypeIds": [CARD]}]


async def test_what_this_market_has_not_is_an_empty_list(graphql: Speaking) -> None:
    query = """{ myself { endpoints { id } networkVolumes { id } clusters { id } }
      listings(input: {type: "SERVERLESS"}) { id } myModels { id } allAiApiPublicConfigs { id }
      listing(id: "a") { id } }"""
    assert await graphql.ask(query) == {
        "myself": {"endpoints": [], "networkVolumes": [], "clusters": []},
        "listings": [],
        "myModels": [],
        "allAiApiPublicConfigs": [],
        "listing": None,
    }


@pytest.mark.parametrize(
    ("mutation", "instead"),
    [
        ('saveEndpoint(input: {name: "e", scalerType: "QUEUE_DELAY"}) { id }', "rent a pod"),
        ("saveEndpoint(input: {flashBootType: FLASHBOOT}) { id }", "rent a pod"),
        ('deleteEndpoint(id: "a")', "rent a pod"),
        ('updateEndpointTemplate(input: {templateId: "a"}) { id }', "rent a pod"),
        ('createNetworkVolume(input: {name: "v", size: 10}) { id }', "volumeInGb"),
        ('deleteNetworkVolume(input: {id: "v"})', "volumeInGb"),
        ("createCluster(input: {podCount: 2}) { id }", "one by one"),
        ('addModelToRepo(input: {name: "m"}) { success }', "pull its model"),
    ],
)
async def test_who_wants_what_is_not_there_is_told_what_to_do_instead(
    graphql: Speaking, mutation: str, instead: str
) -> None:
    error = await graphql.error(f"mutation {{ {mutation} }}")
    assert error["extensions"]["code"] == "not_offered"
    assert instead in error["message"]


async def test_no_card_is_one_of_a_cluster(graphql: Speaking) -> None:
    query = "{ gpuTypes(input: {cluster: true}) { id } }"
    assert await graphql.ask(query) == {"gpuTypes": []}


async def test_flavours_say_how_much_disk_each_processor_may_have(graphql: Speaking) -> None:
    found = (await graphql.ask("{ cpuFlavors { id diskLimitPerVcpu } }"))["cpuFlavors"]
    limits = {each["id"]: each["diskLimitPerVcpu"] for each in found}
    assert (limits["cpu3c"], limits["cpu5g"]) == (10, 15)
