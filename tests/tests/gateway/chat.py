"""Decides about the chat of chat.rs by numbers, so that its clients know what they must hear.

Every rpc and publish that is decided about is a line of the journal, which a kill leaves whole.
"""

import asyncio
import os
import sys
from urllib.parse import parse_qs

from shardcast_gateway import serve

NO = {"reject": {"code": "forbidden", "message": "by number"}}


async def decide(event, server):
    match event["event"]:
        case "connect":
            user = parse_qs(event["request"]["query"])["user"][0]
            return NO if user.endswith("3") else {"user": user, "roles": ["member"]}
        case "join":
            return NO if event["rooms"][0].startswith("closed") else {}
        case "publish" | "rpc":
            number = event["data"]
            os.write(journal, f"{number}\n".encode())
            if number % 7 == 0:
                return NO
            return {} if event["event"] == "publish" else {"data": number * 2}


journal = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
asyncio.run(serve(sys.argv[1], decide))
