"""PyPI centrifuge-python as a puppet: the orders of ../centrifuge-npm/orders.js."""

import asyncio
import json
import sys

from centrifuge import CentrifugeError, Client, DeltaType, FilterNode, StreamPosition

PROTOBUF = sys.argv[1] == "protobuf"
events = []
changed = asyncio.Event()
client = None
connected_as = None


def to_data(value):
    if not PROTOBUF:
        return value
    if isinstance(value, dict) and "bytes" in value:
        return bytes(value["bytes"])
    return json.dumps(value).encode()


def from_data(data):
    if not isinstance(data, (bytes, bytearray)):
        return data
    try:
        return json.loads(data)
    except ValueError:
        return {"bytes": list(data)}


def happened(event, **more):
    events.append({"event": event, **more})
    changed.set()


def publication_of(pub):
    return {
        "data": from_data(pub.data),
        "client": pub.info.client if pub.info else None,
        "user": (pub.info.user or None) if pub.info else None,
        "info": from_data(pub.info.conn_info) if pub.info and pub.info.conn_info else None,
        "offset": pub.offset,
        "tags": dict(pub.tags) if pub.tags else None,
    }


# By channel.
watches = {}


class Watch:
    """Of one subscription."""

    def __init__(self, sub, channel):
        self.channel = channel
        self.whole = self.deltas = 0
        watches[channel] = self
        for name in ("subscribed", "unsubscribed", "publication", "join", "leave", "error"):
            setattr(sub.events, f"on_{name}", getattr(self, name))

    async def subscribed(self, ctx):
        happened(
            "subscribed",
            channel=self.channel,
            recoverable=ctx.recoverable,
            positioned=ctx.positioned,
            wasRecovering=ctx.was_recovering,
            recovered=ctx.recovered,
            offset=ctx.stream_position.offset if ctx.stream_position else None,
        )

    async def unsubscribed(self, ctx):
        happened("unsubscribed", channel=self.channel, code=ctx.code, reason=ctx.reason)

    async def publication(self, ctx):
        if ctx.pub.delta:
            self.deltas += 1
        else:
            self.whole += 1
        happened("publication", channel=self.channel, **publication_of(ctx.pub))

    async def join(self, ctx):
        happened("join", channel=self.channel, client=ctx.info.client, user=ctx.info.user)

    async def leave(self, ctx):
        happened("leave", channel=self.channel, client=ctx.info.client, user=ctx.info.user)

    async def error(self, ctx):
        happened("error", channel=self.channel, code=ctx.code)


async def tried(work):
    try:
        return await work
    except CentrifugeError as error:
        return {"error": getattr(error, "code", None), "message": str(error)}


def next_of(tokens, channel=None):
    """What the SDK gets when it asks for another token, and that it asked."""
    if tokens is None:
        return None

    async def get_token(*_):
        happened("asked", channel=channel)
        return tokens.pop(0)

    return get_token


async def connect(argument):
    global client
    if client:
        await client.connect()
        return {"connecting": True}
    client = Client(
        argument["url"],
        use_protobuf=PROTOBUF,
        token=argument.get("token") or "",
        get_token=next_of(argument.get("tokens")),
        min_reconnect_delay=0.02,
        max_reconnect_delay=0.2,
    )

    async def connecting(ctx):
        if ctx.code:
            happened("connecting", code=ctx.code)

    async def connected(ctx):
        global connected_as
        connected_as = ctx.client
        happened("connected", client=ctx.client)

    async def disconnected(ctx):
        happened("disconnected", code=ctx.code, reason=ctx.reason)

    async def server_subscribed(ctx):
        happened(
            "subscribed",
            channel=ctx.channel,
            server=True,
            recoverable=ctx.recoverable,
            positioned=ctx.positioned,
            wasRecovering=ctx.was_recovering,
            recovered=ctx.recovered,
            offset=ctx.stream_position.offset if ctx.stream_position else None,
        )

    async def server_unsubscribed(ctx):
        happened("unsubscribed", channel=ctx.channel, server=True)

    async def server_publication(ctx):
        happened("publication", channel=ctx.channel, server=True, **publication_of(ctx.pub))

    client.events.on_subscribed = server_subscribed
    client.events.on_unsubscribed = server_unsubscribed
    client.events.on_publication = server_publication
    client.events.on_connecting = connecting
    client.events.on_connected = connected
    client.events.on_disconnected = disconnected
    await client.connect()
    return {"connecting": True}


async def disconnect(_):
    await client.disconnect()
    return {"state": client.state.value}


async def subscribe(channels):
    for channel in channels:
        sub = client.get_subscription(channel)
        if sub is None:
            sub = client.new_subscription(channel, min_resubscribe_delay=0.02, max_resubscribe_delay=0.2, join_leave=True)
            Watch(sub, channel)
        await sub.subscribe()
    return {"subscribing": len(channels)}


async def subscribe_with(argument):
    channel = argument["channel"]
    sub = client.new_subscription(
        channel,
        token=argument.get("token") or "",
        get_token=next_of(argument.get("tokens"), channel),
        min_resubscribe_delay=0.02,
        max_resubscribe_delay=0.2,
        delta=DeltaType(argument["delta"]) if "delta" in argument else None,
        tags_filter=FilterNode(argument["tagsFilter"]) if "tagsFilter" in argument else None,
    )
    Watch(sub, channel)
    await sub.subscribe()
    return {"subscribing": 1}


async def deltas(channel):
    watch = watches[channel]
    return {"whole": watch.whole, "deltas": watch.deltas}


async def forget(channel):
    sub = client.get_subscription(channel)
    await sub.unsubscribe()
    client.remove_subscription(sub)
    return {"forgotten": channel}


async def users(channel):
    async def work():
        return {"users": sorted(info.user for info in (await client.presence(channel)).clients.values())}

    return await tried(work())


async def unsubscribe(channels):
    for channel in channels:
        await client.get_subscription(channel).unsubscribe()
    return {"unsubscribed": len(channels)}


async def publish(argument):
    async def work():
        await client.publish(argument["channel"], to_data(argument["data"]))
        return {"published": True}

    return await tried(work())


async def rpc(argument):
    async def work():
        return {"data": from_data((await client.rpc(argument["method"], to_data(argument["data"]))).data)}

    return await tried(work())


async def history(argument):
    async def work():
        since = argument.get("since")
        since = StreamPosition(since["offset"], since["epoch"]) if since else None
        found = await client.history(
            argument["channel"], limit=argument.get("limit") or 0, since=since, reverse=bool(argument.get("reverse"))
        )
        publications = [publication_of(publication) for publication in found.publications]
        return {"epoch": found.epoch, "offset": found.offset, "publications": publications}

    return await tried(work())


async def presence(channel):
    async def work():
        return {"clients": sorted((await client.presence(channel)).clients)}

    return await tried(work())


async def presence_stats(channel):
    async def work():
        stats = await client.presence_stats(channel)
        return {"numClients": stats.num_clients, "numUsers": stats.num_users}

    return await tried(work())


async def take_events(argument):
    (count,) = argument
    while len(events) < count:
        changed.clear()
        await changed.wait()
    taken, events[:] = events[:count], events[count:]
    return {"events": taken}


async def state(_):
    return {"state": client.state.value, "client": connected_as}


def with_data(command):
    ((name, request),) = ((name, request) for name, request in command.items() if name != "id")
    if "data" in request:
        request = {**request, "data": client._encode_data(to_data(request["data"]))}
    return {"id": command["id"], name: request}


async def encode(commands):
    """As the SDK's own codec writes them."""
    encoded = client._codec.encode_commands([with_data(command) for command in commands])
    return {"bytes": list(encoded.encode() if isinstance(encoded, str) else encoded)}


ORDERS = {
    "encode": encode,
    "connect": connect,
    "disconnect": disconnect,
    "subscribe": subscribe,
    "subscribe_with": subscribe_with,
    "deltas": deltas,
    "forget": forget,
    "users": users,
    "unsubscribe": unsubscribe,
    "publish": publish,
    "rpc": rpc,
    "history": history,
    "presence": presence,
    "presence_stats": presence_stats,
    "events": take_events,
    "state": state,
}


async def main():
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        ((order, argument),) = json.loads(line).items()
        answer = await ORDERS[order](argument)
        print(json.dumps(answer), flush=True)


asyncio.run(main())
