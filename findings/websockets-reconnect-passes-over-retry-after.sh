#!/usr/bin/env bash
# websockets for Python: `async for connection in connect(…)`, its loop that comes back by itself, takes a 503 for a reason to come back
# and a 429 for the end of the loop, and reads Retry-After of neither. Whoever is told "503, Retry-After: 60" is here again within
# seconds; whoever is told "429, Retry-After: 1" never comes back unless its program catches InvalidStatus and begins anew. So a server
# that turns a crowd away says 503, and spreads it by other means than Retry-After.
#
# websockets 17.4, Python 3.11.7. Seen:
#   503, Retry-After 60: came back before the time, 3 times
#   429, Retry-After 1: InvalidStatus, and the loop ended after 1 try
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-deps websockets==17.4
cat >probe.py <<'EOF'
import asyncio
import time

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus


async def turned_away(status, retry_after, tries_max):
    """How often a loop tries that is answered so, and what ends it."""
    tries = []
    enough = asyncio.Event()

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        tries.append(time.monotonic())
        head = f"HTTP/1.1 {status}\r\nRetry-After: {retry_after}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        writer.close()
        if len(tries) == tries_max:
            enough.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = "ws://127.0.0.1:%d/" % server.sockets[0].getsockname()[1]

    async def come_back():
        async for _ in connect(url):
            pass

    loop = asyncio.create_task(come_back())
    wait = asyncio.create_task(enough.wait())
    await asyncio.wait([loop, wait], return_when=asyncio.FIRST_COMPLETED, timeout=120)
    ended = type(loop.exception()).__name__ if loop.done() else None
    loop.cancel()
    wait.cancel()
    server.close()
    return tries, ended


async def main():
    tries, ended = await turned_away("503 Service Unavailable", 60, 3)
    early = all(later - earlier < 60 for earlier, later in zip(tries, tries[1:]))
    assert ended is None
    print(f"503, Retry-After 60: came back {'before' if early else 'after'} the time, {len(tries)} times", flush=True)
    tries, ended = await turned_away("429 Too Many Requests", 1, 2)
    assert ended == InvalidStatus.__name__
    print(f"429, Retry-After 1: {ended}, and the loop ended after {len(tries)} try", flush=True)


asyncio.run(main())
EOF
venv/bin/python --version
venv/bin/pip list --disable-pip-version-check 2>/dev/null | grep websockets
timeout 300 venv/bin/python probe.py 2>/dev/null | tee seen
diff seen - <<'EOF'
503, Retry-After 60: came back before the time, 3 times
429, Retry-After 1: InvalidStatus, and the loop ended after 1 try
EOF
echo "as before"
