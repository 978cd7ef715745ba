"""Says something in a room with the Python SDK of Centrifuge (PyPI centrifuge-python), and prints what is said there until that is heard.

python chat.py ws://127.0.0.1:8000/connection/websocket hello
"""

import asyncio
import sys

from centrifuge import Client, PublicationContext, SubscriptionEventHandler


class Printer(SubscriptionEventHandler):
    def __init__(self, last: str) -> None:
        self.last = last
        self.heard = asyncio.Event()

    async def on_publication(self, ctx: PublicationContext) -> None:
        text = ctx.pub.data["text"]
        print(text, flush=True)
        if text == self.last:
            self.heard.set()


async def main(address: str, text: str) -> None:
    client = Client(address)
    printer = Printer(text)
    chat = client.new_subscription("chat:lobby", events=printer)
    await client.connect()
    await chat.subscribe()
    await chat.publish(data={"text": text})
    await printer.heard.wait()
    await client.disconnect()


asyncio.run(main(*sys.argv[1:3]))
