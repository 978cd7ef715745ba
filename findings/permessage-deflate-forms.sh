#!/usr/bin/env bash
# Clients of permessage-deflate and forms that RFC 7692 allows.
#
# 1. A message may be a whole DEFLATE stream, its last block final (RFC 7692 §7.2.3.4). After such a message undici 6 (the WebSocket of
#    Node 20) and aiohttp before 3.14 hand every later compressed message to the application as an EMPTY one, without an error:
#    they keep one inflater, whatever server_no_context_takeover says, and zlib ignores what follows the end of its stream.
# 2. A server may answer client_no_context_takeover to a client that did not offer it (§7.1.1.2). Tornado takes the answer and goes on
#    with its window: its second message cannot be read by itself.
#
# The server below is Python's standard library: it sends "one" and "two", each in a final block, and reads two equal messages.
#
# Seen with undici 6.24.1 (Node 20.20.2), aiohttp 3.9.5 and 3.14.5, Tornado 6.6.1:
#   undici 6.24.1    hears ['one', '']     its second message stands for itself: yes
#   aiohttp 3.9.5    hears ['one', '']     its second message stands for itself: yes
#   aiohttp 3.14.5   hears ['one', 'two']  its second message stands for itself: yes
#   tornado 6.6.1    hears ['one', '']     its second message stands for itself: no
# Exits with 1 when one of them behaves otherwise.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

npm init -y >/dev/null
npm install --no-audit --no-fund --loglevel=error undici@6.24.1 >/dev/null
for packages in aiohttp==3.9.5 aiohttp==3.14.5 tornado==6.6.1; do
    python3 -m venv "$packages"
    "$packages/bin/pip" install --quiet --disable-pip-version-check "$packages"
done

cat >undici.js <<'JS'
const { WebSocket } = require("undici");
const socket = new WebSocket(process.argv[2]);
const heard = [];
socket.onopen = () => { socket.send("the same, the same"); socket.send("the same, the same"); };
socket.onmessage = ({ data }) => heard.push(data);
socket.onclose = () => console.log(JSON.stringify(heard));
JS
cat >with_aiohttp.py <<'PY'
import aiohttp, asyncio, json, sys
async def main():
    async with aiohttp.ClientSession() as session, session.ws_connect(sys.argv[1], compress=15) as socket:
        for _ in range(2):
            await socket.send_str("the same, the same")
        print(json.dumps([message.data async for message in socket]))
asyncio.run(main())
PY
cat >with_tornado.py <<'PY'
import asyncio, json, sys
from tornado.websocket import websocket_connect
async def main():
    socket = await websocket_connect(sys.argv[1], compression_options={})
    for _ in range(2):
        await socket.write_message("the same, the same")
    heard = []
    while (text := await socket.read_message()) is not None:
        heard.append(text)
    print(json.dumps(heard))
asyncio.run(main())
PY
cat >server.py <<'PY'
import base64, hashlib, json, socket, subprocess, sys, zlib
SAID = b"the same, the same"

def frames(stream):
    while True:
        head = stream.read(2)
        if len(head) < 2 or head[0] & 15 == 8:
            return
        size = head[1] & 127
        assert size < 126
        mask, payload = stream.read(4), stream.read(size)
        yield head[0], bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))

def meet(name, command):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = subprocess.Popen([*command, f"ws://127.0.0.1:{listener.getsockname()[1]}/"], stdout=subprocess.PIPE)
        connection = listener.accept()[0]
    stream = connection.makefile("rwb")
    headers = {}
    stream.readline()
    while (line := stream.readline().strip()):
        key, value = line.split(b":", 1)
        headers[key.lower()] = value.strip()
    accept = base64.b64encode(hashlib.sha1(headers[b"sec-websocket-key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    answer = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + accept]
    answer += [b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover", b"", b""]
    stream.write(b"\r\n".join(answer))
    for text in (b"one", b"two"):
        compressor = zlib.compressobj(wbits=-15)
        payload = compressor.compress(text) + compressor.flush() + b"\0"
        stream.write(bytes([0xC1, len(payload)]) + payload)
    stream.flush()
    said = frames(stream)
    alone = []
    for _ in range(2):
        first, payload = next(said)
        try:
            alone.append(payload == SAID if first == 0x81 else zlib.decompressobj(wbits=-15).decompress(payload + b"\0\0\xff\xff") == SAID)
        except zlib.error:
            alone.append(False)
    stream.write(bytes([0x88, 2, 3, 0xE8]))
    stream.flush()
    for _ in said:
        pass
    stream.close()
    connection.close()
    heard = json.loads(client.communicate(timeout=60)[0])
    print(f"{name:16} hears {heard!s:15} its second message stands for itself: {'yes' if alone[1] else 'no'}", flush=True)
    return heard, alone

expected = {
    "undici 6.24.1": (["node", "undici.js"], (["one", ""], [True, True])),
    "aiohttp 3.9.5": (["aiohttp==3.9.5/bin/python", "with_aiohttp.py"], (["one", ""], [True, True])),
    "aiohttp 3.14.5": (["aiohttp==3.14.5/bin/python", "with_aiohttp.py"], (["one", "two"], [True, True])),
    "tornado 6.6.1": (["tornado==6.6.1/bin/python", "with_tornado.py"], (["one", ""], [True, False])),
}
changed = [name for name, (command, seen) in expected.items() if meet(name, command) != seen]
sys.exit(f"otherwise than before: {changed}" if changed else 0)
PY
echo "Node $(node --version), $(python3 --version), zlib of Python $(python3 -c 'import zlib; print(zlib.ZLIB_RUNTIME_VERSION)')"
python3 server.py
