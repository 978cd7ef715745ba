"""Tells in which traces it was asked: an rpc `seen` is answered with what came with each event, and said to the room `r`; `own` is said there in a trace of the backend's.

On a socket over the stream, and on a port behind webhooks.
"""

import asyncio
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from shardcast_gateway import serve

seen = {}


async def decide(event, server):
    seen[event["event"]] = event.get("traceparent")
    if event["event"] != "rpc":
        return {}
    said = {"room": "r", "event": "said", "data": 1}
    if event["method"] == "own":
        said["traceparent"] = event["data"]
    return {"data": seen, "publish": [said]}


class Hook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["content-length"])))
        event["traceparent"] = self.headers.get("traceparent")
        body = json.dumps(asyncio.run(decide(event, None))).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if sys.argv[1].isdigit():
    listening = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Hook)
    print("ready", flush=True)
    listening.serve_forever()
else:
    asyncio.run(serve(sys.argv[1], decide))
