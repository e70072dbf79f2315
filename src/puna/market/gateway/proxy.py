"""The HTTP ports of pods, by host name or by path."""

from fastapi import APIRouter

router = APIRouter()
