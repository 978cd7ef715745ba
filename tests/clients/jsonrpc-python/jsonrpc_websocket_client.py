"""PyPI jsonrpc-websocket: as ../jsonrpc-npm/rpc-websockets.js. It answers calls of the server."""

import asyncio
import json
import sys

import jsonrpc_base
from jsonrpc_websocket import Server


async def main(url):
    server = Server(url)
    waiting = {name: asyncio.get_running_loop().create_future() for name in ("welcome", "message")}
    # Methods of the client's; a notification's params are its arguments.
    server.what = lambda question: question.upper()
    server.welcome = lambda **welcome: waiting["welcome"].set_result(welcome)
    server.message = lambda **message: waiting["message"].set_result(message)
    await server.ws_connect()
    welcome = await waiting["welcome"]
    report = {"welcomed": type(welcome["connection"]).__name__}
    report["asked"] = await getattr(server, "ask.me")()
    report["sum"] = await server.add(2, 3)
    report["named"] = await server.subtract(minuend=5, subtrahend=3)
    report["unit"] = await server.unit()
    report["rooms"] = await server.rooms()
    try:
        await getattr(server, "nobody.knows")()
    except jsonrpc_base.ProtocolError as error:
        report["error"] = error.args[0]
    await server.note(1, _notification=True)
    await server.note(_notification=True)
    echoes = await asyncio.gather(*(server.add(number, 0) for number in range(50)))
    report["echoes"] = echoes == list(range(50))
    await server.join_room(room="r")
    await server.publish(room="r", data={"text": "hello"})
    report["heard"] = (await waiting["message"])["data"]
    report["last"] = await server.add(4, 5)
    await server.close()
    return report


print(json.dumps(asyncio.run(main(json.loads(sys.stdin.readline())["url"]))), flush=True)
