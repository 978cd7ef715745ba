"""Answers webhooks on a port: who the user says it is, in the role of its name, and to an rpc by which secret it was signed."""

import hmac
import sys
from urllib.parse import parse_qs

from hooks import serve_hooks

SECRETS = ["the-old-secret-of-tests", "the-new-secret-of-tests"]


def signer(headers, body):
    signed = headers.get("shardcast-timestamp", "").encode() + b"." + body
    for secret in SECRETS:
        if headers.get("shardcast-signature") == "v1=" + hmac.new(secret.encode(), signed, "sha256").hexdigest():
            return secret
    return None


def hook(event, headers, body):
    if event["event"] == "connect":
        user = parse_qs(event["request"]["query"])["user"][0]
        return {"user": user, "roles": [user]}
    return {"data": signer(headers, body)}


serve_hooks(int(sys.argv[1]), hook)
