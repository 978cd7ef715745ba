"""Answers webhooks on a port, by what an event is answered with."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def serve_hooks(port, answer):
    """`answer(event, headers, body)` gives the answer to an event; the body is as it came, for signatures."""

    class Hook(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            said = json.dumps(answer(json.loads(body), self.headers, body)).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_):
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", port), Hook)
    print("ready", flush=True)
    listening.serve_forever()
