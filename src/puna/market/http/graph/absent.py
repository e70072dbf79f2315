"""What RunPod has and this market has not: lists are empty, and whoever wants one is told so.

Clients ask for these lists on their way to something else, so an empty one is the honest answer.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from puna.market.http.graph.asked import Asked, Field, Words
from puna.market.http.rest_v2.words import NotOffered

_SERVERLESS = "serverless endpoints; rent a pod instead"
_VOLUMES = "network volumes; ask for a volume of the pod's own with volumeInGb"
_FLASH = "Flash apps; run the function in a pod"
_CLUSTERS = "clusters; rent the pods one by one"
_MODELS = "model repository; let the pod pull its model"
_ABSENT: Mapping[str, str] = {
    "saveEndpoint": _SERVERLESS,
    "deleteEndpoint": _SERVERLESS,
    "updateEndpointTemplate": _SERVERLESS,
    "createNetworkVolume": _VOLUMES,
    "updateNetworkVolume": _VOLUMES,
    "deleteNetworkVolume": _VOLUMES,
    **dict.fromkeys(
        (
            "createFlashApp",
            "deleteFlashApp",
            "createFlashEnvironment",
            "deleteFlashEnvironment",
            "prepareFlashArtifactUpload",
            "finalizeFlashArtifactUpload",
            "updateFlashBuildManifest",
            "deployBuildToEnvironment",
            "createFlashAuthRequest",
        ),
        _FLASH,
    ),
    "createCluster": _CLUSTERS,
    "deleteCluster": _CLUSTERS,
    "addModelToRepo": _MODELS,
    "removeModelFromRepo": _MODELS,
    "createModelRepoUpload": _MODELS,
    "completeModelRepoUpload": _MODELS,
    "updateModelVersionStatus": _MODELS,
}


def _none_of_user(_of: object, _asked: Asked, _words: Words) -> Sequence[object]:
    return ()


def _none(_asked: Asked, _words: Words) -> Sequence[object]:
    return ()


def _nothing(_asked: Asked, _words: Words) -> None:
    return None


def _refuse(what: str, _asked: Asked, _words: Words) -> None:
    raise NotOffered(f"this market has no {what}")


FIELDS: Mapping[str, Field] = {
    "User.endpoints": _none_of_user,
    "User.networkVolumes": _none_of_user,
    "User.clusters": _none_of_user,
    "User.flashApps": _none_of_user,
    "Query.flashApp": _nothing,
    "Query.flashAppByName": _nothing,
    "Query.flashEnvironment": _nothing,
    "Query.flashEnvironmentByName": _nothing,
    "Query.flashBuild": _nothing,
    "Query.flashAuthRequestStatus": _nothing,
    "Query.allAiApiPublicConfigs": _none,
    "Query.myModels": _none,
    "Query.getEndpoint": _nothing,
    "Query.myModel": _nothing,
    **{f"Mutation.{name}": partial(_refuse, what) for name, what in _ABSENT.items()},
}
