"""Has the server do whatever a client says: the command is the data of an rpc, and the reply what became of it.

In place of the data "deep" it publishes data that nests deeper than a client reads.
"""

import asyncio
import json
import sys

from shardcast_gateway import serve


async def decide(event, server):
    if event["event"] != "rpc":
        return {"user": "ann", "rooms": ["first", "second"], "data": {"motd": "hi"}}
    command = event["data"]
    if command.get("publish", {}).get("data") == "deep":
        command["publish"]["data"] = json.loads("[" * 126 + "]" * 126)
    return {"data": await server.send(command)}


asyncio.run(serve(sys.argv[1], decide))
