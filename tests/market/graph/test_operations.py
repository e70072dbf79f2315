"""Everything that RunPod's clients ask, with all the fields that they read: no answer is an error.

A client fails on a field that the schema does not know, so what stands here is what the schema owes
to each of them. Versions: Python SDK 1.12, runpodctl 2.7, Terraform provider 1.x, Flash 1.21, MCP
server 4.0, SkyPilot 0.14, dstack of August 2026.
"""

from collections.abc import Mapping
from typing import Any

import pytest
from graphql import GraphQLNonNull, GraphQLObjectType, get_named_type, parse, validate

from puna.market.http.graph.schema import the_schema
from tests.market.graph.conftest import Speaking

POD_OF_THE_SDK = """id containerDiskInGb costPerHr desiredStatus dockerArgs dockerId env gpuCount
  imageName lastStatusChange machineId memoryInGb name podType port ports uptimeSeconds vcpuCount
  volumeInGb volumeMountPath runtime { ports { ip isIpPublic privatePort publicPort type } }
  machine { gpuDisplayName }"""
POD_OF_RUNPODCTL = """id containerDiskInGb costPerHr desiredStatus dockerArgs dockerId env gpuCount
  imageName lastStatusChange machineId memoryInGb name podType port ports uptimeSeconds vcpuCount
  volumeInGb volumeMountPath machine { gpuDisplayName location }
  runtime { ports { ip isIpPublic privatePort publicPort PortType: type } }"""
RENTED_BY_THE_SDK = "id imageName env machineId machine { podHostId }"
RENTED_BY_RUNPODCTL = """id name imageName desiredStatus costPerHr containerDiskInGb volumeInGb
  volumeMountPath gpuCount memoryInGb vcpuCount ports lastStatusChange env
  machine { gpuDisplayName location }"""
ENDPOINT = """aiKey gpuIds id idleTimeout name networkVolumeId locations scalerType scalerValue
  templateId type userId version workersMax workersMin workersStandby gpuCount env { key value }
  createdAt networkVolume { id dataCenterId }"""
SAVED_ENDPOINT = """id name templateId gpuIds instanceIds computeType networkVolumeId
  networkVolumeIds { networkVolumeId dataCenterId } locations idleTimeout scalerType scalerValue
  workersMin workersMax workersStandby workersPFBTarget gpuCount allowedCudaVersions minCudaVersion
  executionTimeoutMs flashBootType flashEnvironmentId activeBuildid idePodId modelReferences aiKey
  type userId version"""
TEMPLATE = """id name imageName dockerArgs env { key value } ports portsConfig { port name }
  volumeMountPath volumeInGb containerDiskInGb containerRegistryAuthId startJupyter startSsh
  startScript isServerless isPublic isRunpod readme advancedStart category"""
LISTING = """id title repoName repoOwner repoOwnerAvatarUrl description category type tags stars
  views deploys openIssues watchers language createdAt updatedAt
  listedRelease { id name tagName body readme branch license config deploys iconUrl authorName
    createdAt releasedAt updatedAt build { imageName } tests }"""
MODEL = """id owner name provider status createdAt updatedAt
  users { userId credentialType credentialReference status updatedAt }
  versions { uuid hash status metadata createdAt updatedAt }"""
UPLOAD = """uploadId bucket key keyPrefix partSizeBytes partCount expiresInSeconds
  parts { partNumber url expiresAt } completeUrl abortUrl sessionId status"""
MACHINE = """id name location listed gpuType { id displayName } gpuTotal gpuReserved cpuCount
  cpuTypeId memoryTotal memoryReserved diskTotal diskReserved secureCloud maintenanceMode verified
  hostPricePerGpu runpodIp"""
CARD = """maxGpuCount id displayName manufacturer memoryInGb cudaCores secureCloud communityCloud
  securePrice communityPrice oneMonthPrice threeMonthPrice oneWeekPrice communitySpotPrice
  secureSpotPrice"""

QUESTIONS: Mapping[str, str] = {
    "sdk get_user": """query myself { myself { id pubKey
        networkVolumes { id name size dataCenterId } } }""",
    "sdk get_gpus": "query GpuTypes { gpuTypes { id displayName memoryInGb } }",
    "sdk get_gpu": f"""query GpuTypes {{ gpuTypes(input: {{id: "NVIDIA A40"}}) {{ {CARD}
        lowestPrice(input: {{gpuCount: 1}}) {{ minimumBidPrice uninterruptablePrice }} }} }}""",
    "sdk get_pods": f"query myPods {{ myself {{ pods {{ {POD_OF_THE_SDK} }} }} }}",
    "sdk get_pod": f'query pod {{ pod(input: {{podId: "a"}}) {{ {POD_OF_THE_SDK} }} }}',
    "sdk get_endpoints": f"query Query {{ myself {{ endpoints {{ {ENDPOINT} }} }} }}",
    "runpodctl get pod": f"query myPods {{ myself {{ pods {{ {POD_OF_RUNPODCTL} }} }} }}",
    "runpodctl gpu list": """{ gpuTypes { id displayName memoryInGb secureCloud communityCloud
        securePrice communityPrice } }""",
    "runpodctl datacenter list": """{ dataCenters { id name location
        gpuAvailability { gpuTypeId displayName stockStatus } } }""",
    "runpodctl user": """{ myself { id email clientBalance currentSpendPerHr spendLimit
        notifyPodsStale notifyPodsGeneral notifyLowBalance } }""",
    "runpodctl pools": "{ serverlessGpuPools { id gpuTypeIds } }",
    "runpodctl template labels": f"{{ myself {{ podTemplates {{ {TEMPLATE} }} }} }}",
    "runpodctl ssh list-keys": "query myself { myself { id pubKey } }",
    "runpodctl hub": f"{{ listings(input: {{limit: 10, offset: 0}}) {{ {LISTING} }} }}",
    "runpodctl hub get": f"""{{ listing(id: "a") {{ {LISTING} }}
        listingFromRepo(repoOwner: "a", repoName: "b") {{ {LISTING} }} }}""",
    "runpodctl model list": f"""{{ myModels {{ {MODEL} }}
        myModel(owner: "a", name: "b") {{ {MODEL} }} }}""",
    "dstack catalogue": """query GpuTypes($lowest: GpuLowestPriceInput, $types: GpuTypeFilter) {
        gpuTypes(input: $types) { id displayName memoryInGb securePrice communityPrice clusterPrice
          oneMonthPrice threeMonthPrice sixMonthPrice nodeGroupDatacenters { id }
          maxGpuCountCommunityCloud maxGpuCountSecureCloud __typename
          lowestPrice(input: $lowest) { minimumBidPrice uninterruptablePrice minVcpu minMemory
            stockStatus compliance countryCode __typename } } }""",
    "pulumi places": """{ dataCenters { id name location listed storageSupport globalNetwork region
        compliance } myself { networkVolumes { id name size dataCenterId storageClusterId
        storageType } } }""",
    "terraform machines": """{ machines { id name location listed gpuType { id displayName }
        gpuTotal secureCloud dataCenterId } }""",
    "terraform machine": f'{{ machine(input: {{machineId: "a"}}) {{ {MACHINE} }} }}',
    "terraform cluster": """{ myself { cluster(input: {id: "a"}) { id name type podCount
        gpuCountPerPod pods { id name clusterIdx clusterRole clusterIp desiredStatus } } } }""",
    "dstack": """{ myself { id authId email containerRegistryCreds { id name }
        networkVolumes { id name size dataCenter { id name } } pods { id clusterIp } } }""",
    "skypilot": "{ myself { podTemplates { name containerRegistryAuthId } } }",
    "flash apps": """{ myself { flashApps { id name
        flashEnvironments { id name state createdAt activeBuildId } flashBuilds { id createdAt } }
        endpoint(id: "a") { id } } }""",
    "discount": "{ myself { serverlessDiscount { discountFactor type expirationDate } } }",
    "flash app": """{ flashApp(flashAppId: "a") { id flashBuilds { id objectKey createdAt } }
        flashAppByName(flashAppName: "a") { id } flashBuild(flashBuildId: "a") { id manifest }
        flashEnvironment(flashEnvironmentId: "a") { id endpoints { id } networkVolumes { id } }
        flashAuthRequestStatus(flashAuthRequestId: "a") { id status expiresAt apiKey } }""",
    "mcp capacity": """{ gpuTypes { id displayName memoryInGb secureCloud communityCloud
        lowestPrice(input: {gpuCount: 1, secureCloud: true, allowedCudaVersions: ["12.8"]}) {
          stockStatus uninterruptablePrice
          gpuTypeCudaVersions { cudaVersion availability } } } }""",
    "mcp public endpoints": """{ allAiApiPublicConfigs { id aiApiId modelName displayName
        description metadata isLive createdAt updatedAt } }""",
}
"""What is looked at, by who looks."""

ORDERS: Mapping[str, str] = {
    "sdk create_pod": f"""mutation {{ podFindAndDeployOnDemand(input: {{ name: "n",
        imageName: "i", cloudType: ALL, startSsh: true, gpuTypeId: "g", supportPublicIp: true,
        gpuCount: 1, volumeInGb: 0, minVcpuCount: 1, minMemoryInGb: 1, dataCenterId: null,
        allowedCudaVersions: ["12.8"], dockerArgs: "", countryCode: "PL", containerDiskInGb: 10,
        ports: "22/tcp", volumeMountPath: "/v", env: [{{ key: "a", value: "b" }}],
        templateId: "t", networkVolumeId: "v", minDownload: 1, minUpload: 1 }}) {{
        {RENTED_BY_THE_SDK} }} }}""",
    "sdk create_pod without a card": f"""mutation {{ deployCpuPod(input: {{ name: "n",
        imageName: "i", cloudType: "ALL", startSsh: true, instanceId: "cpu3c-2-4",
        dataCenterId: null, dockerArgs: "", containerDiskInGb: 10, volumeMountPath: "/v",
        templateId: "runpod-ubuntu" }}) {{ {RENTED_BY_THE_SDK} }} }}""",
    "sdk stop_pod": 'mutation { podStop(input: { podId: "a" }) { id desiredStatus } }',
    "sdk resume_pod": f"""mutation {{ podResume(input: {{ podId: "a", gpuCount: 1 }}) {{
        desiredStatus {RENTED_BY_THE_SDK} }} }}""",
    "sdk terminate_pod": 'mutation { podTerminate(input: { podId: "a" }) }',
    "sdk create_template": """mutation { saveTemplate(input: { name: "n", imageName: "i",
        dockerArgs: "", containerDiskInGb: 10, volumeInGb: 0, volumeMountPath: "/v", ports: "",
        env: [], isServerless: false, containerRegistryAuthId : "", startSsh: true,
        isPublic: false, readme: "" }) { id name imageName dockerArgs containerDiskInGb volumeInGb
        volumeMountPath ports env { key value } isServerless } }""",
    "sdk create_endpoint": """mutation { saveEndpoint(input: { flashBootType: FLASHBOOT, name: "e",
        templateId: "t", gpuIds: "AMPERE_16", networkVolumeId: "", locations: "", idleTimeout: 5,
        scalerType: "QUEUE_DELAY", scalerValue: 4, workersMin: 0, workersMax: 3,
        allowedCudaVersions: "12.4,12.5", gpuCount: 1 }) { id name templateId gpuIds
        networkVolumeId locations idleTimeout scalerType scalerValue workersMin workersMax
        allowedCudaVersions gpuCount flashBootType } }""",
    "sdk update_endpoint_template": """mutation { updateEndpointTemplate(
        input: { templateId: "t", endpointId: "e" }) { id templateId } }""",
    "sdk registry auth": """mutation { saveRegistryAuth(
        input: { name: "n", username: "u", password: "p" }) { id name } }""",
    "sdk update registry auth": """mutation { updateRegistryAuth(
        input: { id: "a", username: "u", password: "p" }) { id name } }""",
    "sdk delete registry auth": 'mutation { deleteRegistryAuth(registryAuthId: "a") }',
    "runpodctl pod create": f"""mutation createPod($input: PodFindAndDeployOnDemandInput!) {{
        podFindAndDeployOnDemand(input: $input) {{ {RENTED_BY_RUNPODCTL} }} }}""",
    "runpodctl start pod": """mutation podResume($podId: String!) {
        podResume(input: {podId: $podId}) { id costPerHr desiredStatus lastStatusChange } }""",
    "runpodctl start pod --bid": """mutation (
        $podId: String!, $bidPerGpu: Float!, $gpuCount: Int!) {
        podBidResume(input: {podId: $podId, bidPerGpu: $bidPerGpu, gpuCount: $gpuCount}) {
          id costPerHr desiredStatus lastStatusChange } }""",
    "runpodctl get cloud": """query LowestPrice($input: GpuLowestPriceInput!) { gpuTypes {
        lowestPrice(input: $input) { gpuName gpuTypeId minimumBidPrice uninterruptablePrice
          minMemory minVcpu } } }""",
    "runpodctl gpu prices": """query ($input: GpuLowestPriceInput, $which: GpuTypeFilter) {
        gpuTypes(input: $which) { lowestPrice(input: $input) { stockStatus } } }""",
    "runpodctl ssh add-key": """mutation Mutation($input: UpdateUserSettingsInput) {
        updateUserSettings(input: $input) { id } }""",
    "runpodctl template list": f"""query PodTemplates($input: PodTemplateInput) {{
        podTemplates(input: $input) {{ {TEMPLATE} }} }}""",
    "runpodctl template get": f"""query ($id: String!) {{
        podTemplate(id: $id) {{ {TEMPLATE} }} }}""",
    "runpodctl port labels": """mutation ($input: SaveTemplateInput) {
        saveTemplate(input: $input) { id } }""",
    "runpodctl serverless create": f"""mutation ($input: EndpointInput!) {{
        saveEndpoint(input: $input) {{ {SAVED_ENDPOINT} }} }}""",
    "runpodctl serverless update": """mutation ($input: UpdateEndpointTemplateInput) {
        updateEndpointTemplate(input: $input) { id templateId } }""",
    "runpodctl hub list": """query ($input: ListingsInput!) { listings(input: $input) { id } }""",
    "runpodctl model add": f"""mutation ($input: AddModelToRepoInput!) {{
        addModelToRepo(input: $input) {{ success message model {{ {MODEL} }} }} }}""",
    "runpodctl model remove": """mutation ($input: RemoveModelFromRepoInput!) {
        removeModelFromRepo(input: $input) { success message } }""",
    "runpodctl model upload": f"""mutation ($input: CreateModelRepoUploadInput!) {{
        createModelRepoUpload(input: $input) {{ success message upload {{ {UPLOAD} }} }} }}""",
    "runpodctl model uploaded": """mutation ($input: CompleteModelRepoUploadInput!) {
        completeModelRepoUpload(input: $input) { sessionId status } }""",
    "runpodctl model status": """mutation ($uuid: ID, $hash: ID, $status: ModelVersionStatus!) {
        updateModelVersionStatus(uuid: $uuid, hash: $hash, status: $status) {
          success message modelVersion { uuid status } } }""",
    "spot": f"""mutation {{ podRentInterruptable(input: {{ name: "n", imageName: "i",
        gpuTypeId: "g", bidPerGpu: 0.2, cloudType: SECURE, gpuCount: 1, minDisk: 10,
        volumeKey: "k", cudaVersion: "12.8", startJupyter: true, startSsh: true, port: 80,
        terminateAfter: "2027-01-01T00:00:00Z", stopAfter: "2h", supportPublicIp: false }}) {{
        desiredStatus {RENTED_BY_THE_SDK} }} }}""",
    "edit": """mutation { podEditJob(input: { podId: "a", imageName: "i", dockerArgs: "",
        env: [], ports: "", containerDiskInGb: 10, volumeInGb: 10, volumeMountPath: "/v",
        containerRegistryAuthId: "c" }) { id } }""",
    "secrets": """mutation { secretCreate(input: { name: "n", value: "v", description: "d" }) {
        id name } secretDelete(id: "a") }""",
    "pulumi secrets": """mutation ($value: SecretValueUpdateInput!, $id: ID!,
        $words: SecretDescriptionUpdateInput!) { secretDelete(id: $id)
        secretValueUpdate(input: $value) { id name description createdAt updatedAt }
        secretDescriptionUpdate(input: $words) { id name description createdAt updatedAt } }""",
    "dstack cluster": """mutation { createCluster(input: { clusterName: "c", gpuTypeId: "g",
        podCount: 2, gpuCountPerPod: 8, imageName: "i", type: "TRAINING", deployCost: 1.0,
        throughput: 1, startSsh: true, env: [] }) { id name pods { id clusterIp } } }""",
    "dstack volumes": """mutation { createNetworkVolume(input: { name: "v", size: 10,
        dataCenterId: "d" }) { id name size } deleteNetworkVolume(input: { id: "v" }) }""",
    "terraform cluster": """mutation ($input: CreateClusterInput!, $id: String!) {
        createCluster(input: $input) { id name type podCount } deleteCluster(input: {id: $id}) }""",
    "flash endpoint": "mutation ($id: String!) { deleteEndpoint(id: $id) }",
    "flash flavours": """query ($flavor: CpuFlavorInput, $one: SpecificsInput) {
        cpuFlavors(input: $flavor) { specifics(input: $one) { stockStatus securePrice } } }""",
    "flash upload": """mutation ($a: PrepareFlashArtifactUploadInput!,
        $b: FinalizeFlashArtifactUploadInput!) {
        prepareFlashArtifactUpload(input: $a) { uploadUrl objectKey expiresAt }
        finalizeFlashArtifactUpload(input: $b) { id manifest } }""",
    "flash deploy": """mutation ($a: DeployBuildToEnvironmentInput!,
        $b: UpdateFlashBuildManifestInput!) {
        deployBuildToEnvironment(input: $a) {
          id activeArtifact { objectKey downloadUrl expiresAt } }
        updateFlashBuildManifest(input: $b) { id manifest } }""",
    "flash app": """mutation ($a: CreateFlashAppInput!, $b: CreateFlashEnvironmentInput!) {
        createFlashApp(input: $a) { id name } createFlashEnvironment(input: $b) { id name }
        deleteFlashApp(flashAppId: "a") deleteFlashEnvironment(flashEnvironmentId: "a")
        createFlashAuthRequest { id status expiresAt } }""",
    "flash environment": """query ($input: FlashEnvironmentByNameInput!) {
        flashEnvironmentByName(input: $input) { id name state activeBuildId } }""",
}
"""What is changed, or asked with variables, by who asks."""


@pytest.mark.parametrize("text", QUESTIONS.values(), ids=QUESTIONS)
def test_what_a_client_asks_is_in_the_schema(text: str) -> None:
    assert validate(the_schema(), parse(text)) == []


@pytest.mark.parametrize("text", ORDERS.values(), ids=ORDERS)
def test_what_a_client_orders_is_in_the_schema(text: str) -> None:
    assert validate(the_schema(), parse(text)) == []


async def test_all_questions_are_answered_without_an_error(graphql: Speaking) -> None:
    await graphql.rent(ports="8888/http,22/tcp")
    await graphql.market.tick(times=2)
    answers = {name: (await graphql.reply(text)).json for name, text in QUESTIONS.items()}
    assert {name: answer["errors"] for name, answer in answers.items() if "errors" in answer} == {}


def test_whatever_is_answered_may_be_null() -> None:
    kinds = [kind for kind in the_schema().type_map.values() if isinstance(kind, GraphQLObjectType)]
    own = [kind for kind in kinds if not kind.name.startswith("__")]
    fields = {f"{kind.name}.{name}": each for kind in own for name, each in kind.fields.items()}
    assert [name for name, each in fields.items() if isinstance(each.type, GraphQLNonNull)] == []


@pytest.mark.parametrize(
    ("field", "argument"),
    [
        ("Mutation.saveTemplate", "input"),
        ("Mutation.updateUserSettings", "input"),
        ("Mutation.updateEndpointTemplate", "input"),
        ("Mutation.podFindAndDeployOnDemand", "input"),
        ("Query.podTemplates", "input"),
        ("Query.gpuTypes", "input"),
        ("GpuType.lowestPrice", "input"),
    ],
)
def test_an_input_that_clients_declare_as_nullable_may_be_null(field: str, argument: str) -> None:
    kind, _, name = field.partition(".")
    found: Any = the_schema().type_map[kind]
    assert not isinstance(found.fields[name].args[argument].type, GraphQLNonNull)


@pytest.mark.parametrize("name", ["memoryInGb", "vcpuCount", "gpuCount", "containerDiskInGb"])
def test_what_go_reads_as_a_whole_number_is_one(name: str) -> None:
    pod: Any = the_schema().type_map["Pod"]
    assert get_named_type(pod.fields[name].type).name == "Int"
