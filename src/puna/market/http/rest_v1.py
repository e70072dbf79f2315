"""RunPod's REST API, version 1, as far as runpodctl needs it."""

from fastapi import APIRouter

router = APIRouter(prefix="/v1")
