"""Answers webhooks on a port: who the user says it is, in the role of its name, and to an rpc by which secret it was signed."""

import hmac
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

SECRETS = ["the-old-secret-of-tests", "the-new-secret-of-tests"]


def signer(headers, body):
    signed = headers.get("shardcast-timestamp", "").encode() + b"." + body
    for secret in SECRETS:
        if headers.get("shardcast-signature") == "v1=" + hmac.new(secret.encode(), signed, "sha256").hexdigest():
            return secret
    return None


class Hook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        event = json.loads(body)
        if event["event"] == "connect":
            user = parse_qs(event["request"]["query"])["user"][0]
            answer = {"user": user, "roles": [user]}
        else:
            answer = {"data": signer(self.headers, body)}
        answer = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


listening = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Hook)
print("ready", flush=True)
listening.serve_forever()
