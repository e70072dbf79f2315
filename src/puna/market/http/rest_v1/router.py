"""All routes of version 1."""

from fastapi import APIRouter

from puna.market.http.rest_v1 import billing, missing, pods, registries, templates

router = APIRouter()
for _each in (pods, templates, registries, billing, missing):
    router.include_router(_each.router)
