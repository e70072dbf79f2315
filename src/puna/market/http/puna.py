"""What RunPod has no words for: offers with reasons, bills, budgets, projects."""

from fastapi import APIRouter

router = APIRouter(prefix="/v2/puna")
