"""Has the server do whatever a client says: the command is the data of an rpc, and the reply what became of it."""

import asyncio
import sys

from shardcast_gateway import serve


async def decide(event, server):
    if event["event"] != "rpc":
        return {"user": "ann", "rooms": ["first", "second"], "data": {"motd": "hi"}}
    return {"data": await server.send(event["data"])}


asyncio.run(serve(sys.argv[1], decide))
