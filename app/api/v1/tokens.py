"""Tokens: make, list, revoke. For admins only."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from ...domain.token import Token
from ...store.idempotency import Answer
from .. import render
from ..access import MANAGE
from ..answers import json_answer, respond
from ..bodies import body_of, no_body
from ..deps import ApiDep
from ..operation import operation
from ..paging import DEFAULT_PAGE_SIZE, PageSize, PageToken
from ..route import ServiceRoute
from ..schemas.tokens import NewTokenBody, NewTokenOut, TokenListOut, TokenOut
from .common import TokenId

router = APIRouter(prefix="/v1", route_class=ServiceRoute)


def _answer(token: Token, secret: str | None) -> Answer:
    headers = {"Location": f"/v1/tokens/{token.id}"}
    return json_answer({**render.token(token), "secret": secret}, status=201, headers=headers)


def _kept(made: tuple[Token, str]) -> Answer:
    """What is kept for a replay: the secret is not."""
    return _answer(made[0], None)


@router.post(
    "/tokens",
    **operation(
        "create_token", "tokens", MANAGE, {201: NewTokenOut}, method="POST", body=NewTokenBody
    ),
)
async def create_token(
    api: ApiDep, body: Annotated[NewTokenBody, Depends(body_of(NewTokenBody))]
) -> Response:
    """Make a token. Its secret is shown this once; from the first token on auth stays on."""
    token, secret = await api.call(
        api.services.tokens.create,
        body.name,
        body.role,
        body.expires_in_s,
        receipt=api.receipt(_kept),
    )
    return respond(_answer(token, secret))


@router.get("/tokens", **operation("list_tokens", "tokens", MANAGE, {200: TokenListOut}))
async def list_tokens(
    api: ApiDep, page_size: PageSize = DEFAULT_PAGE_SIZE, page_token: PageToken = None
) -> Response:
    """List tokens, without their secrets."""
    page = await api.call(api.services.tokens.page, page_size, page_token)
    tokens = [render.token(token) for token in page.items]
    return respond(json_answer({"tokens": tokens, "next_page_token": page.next_page_token}))


@router.get(
    "/tokens/{token_id:id}",
    **operation("get_token", "tokens", MANAGE, {200: TokenOut}, errors=("not-found",)),
)
async def get_token(token_id: TokenId, api: ApiDep) -> Response:
    """Get a token, without its secret."""
    token = await api.call(api.services.tokens.get, token_id)
    return respond(json_answer(render.token(token)))


@router.delete(
    "/tokens/{token_id:id}",
    **operation(
        "revoke_token",
        "tokens",
        MANAGE,
        {200: TokenOut},
        method="DELETE",
        errors=("not-found",),
    ),
    dependencies=[Depends(no_body)],
)
async def revoke_token(token_id: TokenId, api: ApiDep) -> Response:
    """Revoke a token, at once and for good."""
    token = await api.call(api.services.tokens.revoke, token_id)
    return respond(json_answer(render.token(token)))
