"""RunPod's GraphQL API, for its Python SDK and runpodctl."""

from fastapi import APIRouter

router = APIRouter()
