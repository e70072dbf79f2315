"""What of RunPod's version 2 is not here yet: it says so."""

from fastapi import APIRouter

router = APIRouter(prefix="/v2")
