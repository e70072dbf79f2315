"""The market's HTTP application: every dialect over the same actions, and one border for errors."""

from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from puna.market.gateway import proxy, terminal
from puna.market.gateway.gateway import Gateway
from puna.market.http import agents, descriptions, graphql, health, metrics, operator, puna, sharing
from puna.market.http.guard import Guard
from puna.market.http.reply import LastResort, add_error_replies
from puna.market.http.rest_v1.router import router as v1_router
from puna.market.http.rest_v2 import (
    account,
    billing,
    catalog,
    logs,
    missing,
    pods,
    registries,
    templates,
)
from puna.market.http.watch import Watch
from puna.market.market import Market
from puna.version import __version__

_ROUTERS = (
    health.router,
    descriptions.router,
    metrics.router,
    agents.router,
    operator.router,
    puna.router,
    sharing.router,
    missing.router,
    account.router,
    pods.router,
    logs.router,
    templates.router,
    registries.router,
    catalog.router,
    billing.router,
    v1_router,
    graphql.router,
    terminal.router,
    proxy.router,
)
"""In this order: of two that match a path, the first answers."""


class Api(FastAPI):
    """The routes, which describe themselves as RunPod's do."""

    def openapi(self) -> dict[str, Any]:
        """Return the description, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = descriptions.complete(super().openapi())
        return self.openapi_schema


def build_api(market: Market, gateway: Gateway, *first: APIRouter) -> Api:
    """Return the routes alone; those of `first` go before the market's own."""
    api = Api(title="puna market", version=__version__, redirect_slashes=False)
    api.state.market = market
    api.state.gateway = gateway
    for router in (*first, *_ROUTERS):
        api.include_router(router)
    add_error_replies(api)
    return api


def build_app(market: Market, gateway: Gateway, *first: APIRouter) -> ASGIApp:
    """Return the whole application for one process of a market."""
    return Watch(LastResort(Guard(build_api(market, gateway, *first), market)), market)
