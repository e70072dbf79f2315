"""RunPod's hub: here, the templates that every market has, which can be deployed as pods.

RunPod's lists repositories with releases. Who looks in it for something to deploy finds the same
templates as elsewhere, under the same ids.
"""

import json
from collections.abc import Mapping, Sequence

from puna.market.actions.templates import official_templates
from puna.market.db.templates import Template
from puna.market.http.graph.asked import Asked, Field, Shape, Words

_OWNER = "puna"
_MOST = 100


def listing_shape(template: Template) -> Shape:
    """Return a `Listing`."""
    preset, born = template.preset, template.created
    disk_of_cards = {"containerDiskInGb": preset.disk_gb, "runsOn": _runs_on(template)}
    env = [{"key": key, "input": {"default": value}} for key, value in preset.env.items()]
    release: Shape = {
        "id": template.id,
        "name": template.name,
        "tagName": preset.image.rpartition(":")[2],
        "body": "",
        "readme": preset.readme,
        "config": json.dumps(disk_of_cards | {"env": env}),
        "deploys": 0,
        "authorName": _OWNER,
        "createdAt": born,
        "releasedAt": born,
        "updatedAt": born,
        "build": {"id": template.id, "imageName": preset.image},
    }
    return {
        "id": template.id,
        "title": template.name,
        "repoName": template.id,
        "repoOwner": _OWNER,
        "description": preset.readme,
        "category": preset.category.lower(),
        "type": "POD",
        "tags": [],
        **dict.fromkeys(("stars", "views", "deploys", "openIssues", "watchers"), 0),
        "createdAt": born,
        "updatedAt": born,
        "listedRelease": release,
    }


def _runs_on(template: Template) -> str:
    return "CPU" if template.preset.category == "CPU" else "GPU"


def _listings(_asked: Asked, words: Words) -> Sequence[Shape]:
    """Return those that were asked for; all have as many stars, so they go by title."""
    sought = (words.get("searchQuery") or "").lower()
    found = [
        each
        for each in map(listing_shape, official_templates())
        if sought in f"{each['title']} {each['repoName']} {each['description']}".lower()
        and all(_is_so(each, name, words) for name in ("type", "category"))
        and words.get("owner") in (None, "", _OWNER)
    ]
    found.sort(key=lambda each: str(each["title"]).lower())
    first, most = max(0, words.get("offset") or 0), words.get("limit")
    return found[first : first + (_MOST if most is None else max(0, most))]


def _is_so(listing: Shape, name: str, words: Words) -> bool:
    wanted = words.get(name) or ""
    return not wanted or str(listing[name]).lower() == wanted.lower()


def _listing(_asked: Asked, words: Words) -> Shape | None:
    return _named(words.get("id") or "")


def _listing_from_repo(_asked: Asked, words: Words) -> Shape | None:
    return _named(words.get("repoName") or "") if words.get("repoOwner") == _OWNER else None


def _named(template: str) -> Shape | None:
    return next((listing_shape(each) for each in official_templates() if each.id == template), None)


FIELDS: Mapping[str, Field] = {
    "Query.listings": _listings,
    "Query.listing": _listing,
    "Query.listingFromRepo": _listing_from_repo,
}
