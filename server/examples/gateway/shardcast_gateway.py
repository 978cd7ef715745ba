"""The stream between shardcast and a backend (proto/gateway.proto), with Python's standard library alone.

A backend is a function of an event that returns an answer, both dictionaries with the names of the schema:

    async def decide(event, server): return {"reject": {"code": "forbidden", "message": "no"}}

    asyncio.run(serve("/run/app.sock", decide))

`server.send(command)` has the server do something unasked. Whoever has the package `protobuf` and `protoc` can
generate this codec from the schema instead.
"""

import asyncio
import hmac
import json
import os
import struct
import time

# Messages by name: field number, name, kind. A kind in brackets is repeated.
SCHEMA = {
    "ToBackend": {1: ("hello", "Hello"), 2: ("event", "Event"), 3: ("done", "Done")},
    "ToServer": {1: ("answer", "Answer"), 2: ("command", "Command")},
    "Hello": {1: ("server", str), 2: ("version", int), 3: ("instance", str), 4: ("frame_bytes_max", int), 5: ("time_s", int), 6: ("signature", str)},
    "Event": {
        1: ("id", int), 2: ("instance", str), 3: ("event", str), 4: ("attempt", int), 5: ("time_ms", int), 6: ("connection", str), 7: ("user", str), 8: ("roles", [str]),
        9: ("address", str), 10: ("dialect", str), 11: ("rooms", [str]), 12: ("to_user", str), 13: ("everyone", bool), 14: ("method", str), 15: ("data", "json"),
        16: ("request", "HttpRequest"), 17: ("notices", ["Notice"]), 18: ("traceparent", str), 19: ("expires_ms", int), 20: ("token", str), 21: ("asked", bool),
        22: ("key", str), 23: ("removed", bool),
    },
    "HttpRequest": {1: ("path", str), 2: ("query", str), 3: ("headers", ["Header"])},
    "Header": {1: ("name", str), 2: ("value", str)},
    "Notice": {1: ("event", str), 2: ("time_ms", int), 3: ("room", str), 4: ("connection", str), 5: ("user", str), 6: ("code", int), 7: ("reason", str), 8: ("members", int)},
    "Answer": {
        1: ("id", int), 2: ("reject", "Reject"), 3: ("user", str), 4: ("roles", [str]), 5: ("rooms", [str]), 6: ("data", "json"), 7: ("publish", ["Publish"]), 8: ("instead", bool),
        9: ("expires_ms", int),
    },
    "Reject": {1: ("code", str), 2: ("message", str), 3: ("retry_after_ms", int)},
    "Publish": {1: ("room", str), 2: ("user", str), 3: ("connection", str), 4: ("everyone", bool), 5: ("event", str), 6: ("data", "json"), 7: ("except", str), 8: ("traceparent", str)},
    "Command": {1: ("id", int), 2: ("publish", "Publish"), 3: ("disconnect", "Disconnect"), 4: ("join", "Membership"), 5: ("leave", "Membership")},
    "Disconnect": {1: ("connection", str), 2: ("user", str), 3: ("code", int), 4: ("reason", str)},
    "Membership": {1: ("connection", str), 2: ("rooms", [str])},
    "Done": {1: ("id", int), 2: ("failed", "Reject")},
}

# The longest frame that is taken from the server: the largest message that a client may send, and its headers.
FRAME_BYTES_MAX = 1 << 20


def write_varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than ten bytes")


def encode(name, message):
    out = bytearray()
    for number, (field, kind) in SCHEMA[name].items():
        if field not in message:
            continue
        value = message[field]
        for one in value if isinstance(kind, list) else [value]:
            inner = kind[0] if isinstance(kind, list) else kind
            if inner in (int, bool):
                out += write_varint(number << 3) + write_varint(int(one))
                continue
            if inner is str:
                body = one.encode()
            elif inner == "json":
                body = json.dumps(one, ensure_ascii=False, separators=(",", ":")).encode()
            else:
                body = encode(inner, one)
            out += write_varint(number << 3 | 2) + write_varint(len(body)) + body
    return bytes(out)


def decode(name, data):
    message, at = {}, 0
    for field, kind in SCHEMA[name].values():
        if isinstance(kind, list):
            message[field] = []
    while at < len(data):
        tag, at = read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = read_varint(data, at)
        elif wire == 2:
            length, at = read_varint(data, at)
            value, at = data[at : at + length], at + length
            if len(value) < length:
                raise ValueError("a field that is cut")
        else:
            raise ValueError(f"wire type {wire}, which the schema has not")
        field, kind = SCHEMA[name].get(number, (None, None))
        if field is None:
            continue
        inner = kind[0] if isinstance(kind, list) else kind
        if inner is bool:
            value = bool(value)
        elif inner is str:
            value = value.decode()
        elif inner == "json":
            value = json.loads(value)
        elif inner is not int:
            value = decode(inner, value)
        if isinstance(kind, list):
            message[field].append(value)
        else:
            message[field] = value
    return message


class Server:
    """One connection of a server."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.next_id, self.waiting = 1, {}

    async def receive(self):
        """The next frame; None at the end."""
        try:
            (length,) = struct.unpack(">I", await self.reader.readexactly(4))
            if length > FRAME_BYTES_MAX:
                raise ValueError(f"a frame of {length} bytes")
            return decode("ToBackend", await self.reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def write(self, message):
        frame = encode("ToServer", message)
        self.writer.write(struct.pack(">I", len(frame)) + frame)
        await self.writer.drain()

    async def send(self, command):
        """Has the server do this; returns None, or why it was not done."""
        number, self.next_id = self.next_id, self.next_id + 1
        done = self.waiting[number] = asyncio.get_running_loop().create_future()
        await self.write({"command": {"id": number, **command}})
        return await done

    def done(self, done):
        waiting = self.waiting.pop(done["id"], None)
        if waiting and not waiting.done():
            waiting.set_result(done.get("failed"))


def is_signed(hello, secret):
    """Whether a Hello was signed with the secret, not long ago."""
    signed = f"{hello['time_s']}.{hello['instance']}".encode()
    expected = hmac.new(secret, signed, "sha256").hexdigest()
    return hmac.compare_digest(expected, hello.get("signature", "")) and abs(time.time() - hello["time_s"]) < 60


async def serve(path, decide, secret=None, connected=None):
    """Serves on a Unix socket for ever."""

    async def answer(server, event):
        try:
            answer = await decide(event, server)
        except Exception as error:
            print(f"{event['event']}: {error!r}", flush=True)
            answer = {"reject": {"code": "handler_failed", "message": "the backend failed"}}
        try:
            await server.write({"answer": {**answer, "id": event["id"]}})
        except ConnectionError:
            pass

    async def one(reader, writer):
        server, running = Server(reader, writer), set()
        while (frame := await server.receive()) is not None:
            if "event" in frame:
                task = asyncio.create_task(answer(server, frame["event"]))
                running.add(task)
                task.add_done_callback(running.discard)
            elif "done" in frame:
                server.done(frame["done"])
            elif secret and not is_signed(frame["hello"], secret):
                break
            elif connected:
                connected(server)
        writer.close()

    # A backend that was killed leaves its socket behind.
    if os.path.exists(path):
        os.unlink(path)
    listening = await asyncio.start_unix_server(one, path)
    print("ready", flush=True)
    async with listening:
        await listening.serve_forever()
