"""PyPI aiorpcX: as ../jsonrpc-npm/rpc-websockets.js. It answers calls of the server."""

import asyncio
import json
import sys

from aiorpcx import RPCError, RPCSession, handler_invocation
from aiorpcx.websocket import WSTransport

waiting = {}


class Session(RPCSession):
    async def handle_request(self, request):
        return await handler_invocation(HANDLERS[request.method], request)()


async def what(question):
    return question.upper()


async def welcome(connection, **_):
    waiting["welcome"].set_result(connection)


async def message(data, **_):
    waiting["message"].set_result(data)


HANDLERS = {"what": what, "welcome": welcome, "message": message}


async def main(url):
    loop = asyncio.get_running_loop()
    waiting.update({name: loop.create_future() for name in ("welcome", "message")})
    report = {}
    # What `connect_ws` does, but for the session's class, which it forgets.
    transport = await WSTransport.ws_client(url, session_factory=Session)
    reader = loop.create_task(transport.process_messages())
    session = transport.session
    call = session.send_request
    report["welcomed"] = type(await waiting["welcome"]).__name__
    report["asked"] = await call("ask.me")
    report["sum"] = await call("add", [2, 3])
    report["named"] = await call("subtract", {"minuend": 5, "subtrahend": 3})
    report["unit"] = await call("unit")
    report["rooms"] = await call("rooms", [])
    try:
        await call("nobody.knows")
    except RPCError as error:
        report["error"] = error.code
    await session.send_notification("note", [1])
    await session.send_notification("note")
    echoes = await asyncio.gather(*(call("add", [number, 0]) for number in range(50)))
    report["echoes"] = echoes == list(range(50))
    await call("join_room", {"room": "r"})
    await call("publish", {"room": "r", "data": {"text": "hello"}})
    report["heard"] = await waiting["message"]
    async with session.send_batch() as batch:
        batch.add_request("add", [1, 1])
        batch.add_request("add", [2, 2])
    report["batch"] = list(batch.results)
    report["last"] = await call("add", [4, 5])
    await transport.close()
    await reader
    return report


print(json.dumps(asyncio.run(main(json.loads(sys.stdin.readline())["url"]))), flush=True)
