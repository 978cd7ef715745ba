"""Decides about sessions that end, by the name of their user: on a socket over the stream, and on a port behind webhooks.

An rpc is answered with who the client is, and what was asked about its session so far.
"""

import asyncio
import sys
from urllib.parse import parse_qs

from hooks import serve_hooks
from shardcast_gateway import serve

# Whoever has a ticket has time to show it.
SHORT_MS, TICKET_MS, LONG_MS = 3_000, 16_000, 600_000
questions = {}


async def decide(event, server):
    user = event.get("user")
    match event["event"]:
        case "connect":
            user = parse_qs(event["request"].get("query", "")).get("user", [None])[0]
            # Whoever brings a token is who that says.
            lasts_ms = TICKET_MS if user == "ticket" else SHORT_MS
            return {"user": user, "roles": ["first"], "expires_ms": lasts_ms} if user else {}
        case "refresh":
            return await refresh(user, event)
        case "rpc":
            asked = [{key: question.get(key) for key in ("asked", "token", "expires_ms")} for question in questions.get(user, [])]
            return {"data": {"user": user, "roles": event.get("roles", []), "questions": asked}}


async def refresh(user, event):
    questions.setdefault(user, []).append(event)
    match user:
        case "keep":
            return {"user": user, "roles": ["again"], "expires_ms": SHORT_MS}
        case "drop":
            return {"reject": {"code": "forbidden", "message": "bye"}}
        case "mistaken":
            return {"user": "mallory", "expires_ms": LONG_MS}
        case "silent":
            await asyncio.sleep(3_600)
        case "ticket" if event.get("asked"):
            return {"expires_ms": LONG_MS} if event.get("token") == "good" else {"reject": {"code": "unauthorized", "message": "no"}}
        case "bearer":
            return {"expires_ms": LONG_MS}
    return {}


def hook(event, *_):
    return asyncio.run(decide(event, None))


if sys.argv[1].isdigit():
    serve_hooks(int(sys.argv[1]), hook)
else:
    asyncio.run(serve(sys.argv[1], decide))
