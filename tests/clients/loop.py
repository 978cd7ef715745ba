"""Puppets that live in an event loop: every line of standard input is an order, every order is answered by one line. See
tests/tests/clients/puppet.rs. Used by those of aiohttp and Tornado."""

import asyncio
import json
import sys


async def obey(orders):
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        ((order, argument),) = json.loads(line).items()
        method = getattr(orders, order)
        answer = await (method(**argument) if order == "connect" else method(argument))
        print(json.dumps(answer), flush=True)


def run(orders):
    asyncio.run(obey(orders))
