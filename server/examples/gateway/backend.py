"""A chat's backend on a Unix socket, in Python: who may come in, who may enter which room, what may be said.

    python3 server/examples/gateway/backend.py /tmp/app.sock
    shardcast serve --set gateway.socket=unix:/tmp/app.sock

Connect with ws://127.0.0.1:8000/ws?user=ann.
"""

import asyncio
import os
import sys
from urllib.parse import parse_qs

from shardcast_gateway import serve


def reject(code, message):
    return {"reject": {"code": code, "message": message}}


async def decide(event, server):
    match event["event"]:
        case "connect":
            user = parse_qs(event["request"].get("query", "")).get("user", [None])[0]
            if user is None:
                return reject("unauthorized", "say who you are: ?user=NAME")
            if user == "mallory":
                return reject("forbidden", "not you")
            return {"user": user, "roles": ["moderator"] if user == "ann" else ["member"]}
        case "join":
            if any(room.startswith("staff:") for room in event["rooms"]) and "moderator" not in event["roles"]:
                return reject("forbidden", "this room is for moderators")
            return {}
        case "publish":
            said = event.get("data")
            if said == "spam":
                return reject("forbidden", "no spam")
            return {}
        case "rpc" if event["method"] == "add":
            return {"data": sum(event["data"])}
        case "rpc" if event["method"] == "shout":
            room, text = event["data"]["room"], event["data"]["text"]
            # The server is asked to say it, and the answer waits for that.
            failed = await server.send({"publish": {"room": room, "event": "shout", "data": text.upper()}})
            return {"data": failed is None}
        case "rpc":
            return reject("unknown_type", f"there is no {event['method']}")
    return {}


if __name__ == "__main__":
    secret = os.environ.get("GATEWAY_SECRET")
    asyncio.run(serve(sys.argv[1], decide, secret and secret.encode()))
