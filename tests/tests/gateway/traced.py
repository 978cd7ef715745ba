"""Tells in which traces it was asked: an rpc `seen` is answered with what came with each event, and said to the room `r`; `own` is said there in a trace of the backend's.

On a socket over the stream, and on a port behind webhooks.
"""

import asyncio
import sys

from hooks import serve_hooks
from shardcast_gateway import serve

seen = {}


async def decide(event, server):
    seen[event["event"]] = event.get("traceparent")
    if event["event"] != "rpc":
        return {}
    said = {"room": "r", "event": "said", "data": 1}
    if event["method"] == "own":
        said["traceparent"] = event["data"]
    return {"data": seen, "publish": [said]}


def hook(event, headers, _):
    event["traceparent"] = headers.get("traceparent")
    return asyncio.run(decide(event, None))


if sys.argv[1].isdigit():
    serve_hooks(int(sys.argv[1]), hook)
else:
    asyncio.run(serve(sys.argv[1], decide))
