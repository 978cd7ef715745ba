"""aiohttp as a puppet: see ../loop.py."""

import ssl
import sys
from pathlib import Path

import aiohttp

sys.path.append(str(Path(__file__).resolve().parents[1]))
import loop


class Orders:
    session = None

    async def connect(self, url, subprotocols, deflate, ca):
        if self.session:
            await self.session.close()
        self.session = aiohttp.ClientSession()
        trust = ssl.create_default_context(cafile=ca) if ca else None
        try:
            self.socket = await self.session.ws_connect(
                url, protocols=subprotocols, compress=deflate, max_msg_size=0, **({"ssl": trust} if trust else {})
            )
        except Exception as error:
            return {"failed": str(error)}
        self.ending = None
        accepted = self.socket._response.headers.get("Sec-WebSocket-Extensions", "")
        return {"opened": [self.socket.protocol or "", accepted]}

    async def send(self, texts):
        for text in texts:
            await self.socket.send_str(text)
        return {"sent": len(texts)}

    async def receive(self):
        message = await self.socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            return message.data
        if message.type is aiohttp.WSMsgType.CLOSE:
            # Behind it aiohttp may call the same ending 1006.
            self.ending = [message.data, message.extra]
        elif message.type is not aiohttp.WSMsgType.CLOSED:
            raise RuntimeError(f"{message}")
        return None

    async def hear(self, count):
        heard = []
        while len(heard) < count and (text := await self.receive()) is not None:
            heard.append(text)
        return {"heard": heard}

    async def close(self, argument):
        code, reason = argument
        await self.socket.close(code=code, message=reason.encode())
        return self.closed()

    async def ended(self, _):
        while await self.receive() is not None:
            pass
        return self.closed()

    def closed(self):
        return {"closed": self.ending or [self.socket.close_code, ""]}


loop.run(Orders())
