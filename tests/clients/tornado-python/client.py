"""Tornado as a puppet: see ../loop.py. It ignores client_no_context_takeover and goes on with its window."""

import sys
from pathlib import Path

from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClosedError, websocket_connect

sys.path.append(str(Path(__file__).resolve().parents[1]))
import loop


class Orders:
    async def connect(self, url, subprotocols, deflate, ca):
        request = HTTPRequest(url, ca_certs=ca)
        try:
            self.socket = await websocket_connect(
                request, subprotocols=subprotocols, compression_options=deflate, max_message_size=1 << 30
            )
        except Exception as error:
            return {"failed": str(error)}
        accepted = self.socket.headers.get("Sec-WebSocket-Extensions", "")
        return {"opened": [self.socket.selected_subprotocol or "", accepted]}

    async def send(self, texts):
        for text in texts:
            try:
                await self.socket.write_message(text)
            except WebSocketClosedError:
                break
        return {"sent": len(texts)}

    async def hear(self, count):
        heard = []
        while len(heard) < count and (text := await self.socket.read_message()) is not None:
            heard.append(text)
        return {"heard": heard}

    async def close(self, argument):
        self.socket.close(*argument)
        return await self.ended(None)

    async def ended(self, _):
        while await self.socket.read_message() is not None:
            pass
        return {"closed": [self.socket.close_code, self.socket.close_reason or ""]}


loop.run(Orders())
