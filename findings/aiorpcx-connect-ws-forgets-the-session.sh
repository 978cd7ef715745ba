#!/usr/bin/env bash
# aiorpcX: connect_ws(url, session_factory=…) forgets the factory, so that a client's handlers over WebSocket are never called. Worse than
# an error: the session it makes instead answers every call of the server with the result null, so the server cannot tell it from an
# answer. (WSClient takes the argument out of the keywords and does not hand it on. connect_rs, for TCP, is right.) What works is
# aiorpcx.websocket.WSTransport.ws_client(url, session_factory=…) with a task for its process_messages().
#
# aiorpcX 0.25.0, websockets 17.4, Python 3.11.7. Seen:
#   connect_ws: the server hears None
#   ws_client: the server hears 'noon'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-deps aiorpcX==0.25.0 websockets==17.4
cat >probe.py <<'EOF'
import asyncio

from aiorpcx import RPCSession, connect_ws, serve_ws
from aiorpcx.websocket import WSTransport


class Client(RPCSession):
    async def handle_request(self, request):
        return "noon"


class Server(RPCSession):
    async def handle_request(self, request):
        return await self.send_request("what.time.is.it")


async def main():
    server = await serve_ws(Server, "127.0.0.1", 0)
    url = "ws://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
    async with connect_ws(url, session_factory=Client) as session:
        print("connect_ws: the server hears", repr(await session.send_request("ask.me")), flush=True)
    transport = await WSTransport.ws_client(url, session_factory=Client)
    asyncio.get_running_loop().create_task(transport.process_messages())
    print("ws_client: the server hears", repr(await transport.session.send_request("ask.me")), flush=True)
    await transport.close()


asyncio.run(main())
EOF
venv/bin/python --version
venv/bin/pip list --disable-pip-version-check 2>/dev/null | grep -i -e aiorpcx -e websockets
timeout 60 venv/bin/python probe.py | tee seen
diff seen - <<'EOF'
connect_ws: the server hears None
ws_client: the server hears 'noon'
EOF
echo "as before"
