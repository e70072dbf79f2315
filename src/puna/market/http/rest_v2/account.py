"""The account itself in RunPod's version 2: its SSH keys."""

from fastapi import APIRouter

router = APIRouter(prefix="/v2/account")
