"""Logins for registries in RunPod's version 2."""

from fastapi import APIRouter

router = APIRouter(prefix="/v2/registries")
