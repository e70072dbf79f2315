"""A terminal of a pod, in a page."""

from fastapi import APIRouter

router = APIRouter()
