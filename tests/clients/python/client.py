"""PyPI websockets as a puppet: every line of standard input is an order, every order is answered by one line. See tests/tests/clients/puppet.rs."""

import json
import ssl
import sys

from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect as dial

socket = None


def connect(url, subprotocols, deflate, ca):
    global socket
    trust = ssl.create_default_context(cafile=ca) if ca else None
    if trust:
        # This client reads in a thread while it writes in another. Tickets of TLS 1.3 that arrive just then made it lose its request,
        # one in 400 times; 1.3 has the other clients.
        trust.maximum_version = ssl.TLSVersion.TLSv1_2
    if deflate is True:
        extensions = [ClientPerMessageDeflateFactory(client_max_window_bits=True)]
    else:
        extensions = [ClientPerMessageDeflateFactory(**deflate)] if deflate else None
    try:
        socket = dial(
            url,
            ssl=trust,
            subprotocols=subprotocols or None,
            compression=None,
            extensions=extensions,
            max_size=None,
            max_queue=None,
            ping_interval=None,
            proxy=None,
        )
    except Exception as error:
        return {"failed": str(error)}
    accepted = socket.response.headers.get("Sec-WebSocket-Extensions", "")
    return {"opened": [socket.subprotocol or "", accepted]}


def send(texts):
    for text in texts:
        socket.send(text)
    return {"sent": len(texts)}


def pieces(texts):
    socket.send(iter(texts))
    return {"sent": 1}


def hear(count):
    heard = []
    try:
        while len(heard) < count:
            heard.append(socket.recv())
    except ConnectionClosed:
        pass
    return {"heard": heard}


def ping(payload):
    socket.ping(payload.encode()).wait()
    return {"ponged": payload}


def close(argument):
    socket.close(*argument)
    return closed()


def ended(_):
    try:
        while True:
            socket.recv()
    except ConnectionClosed:
        return closed()


def closed():
    return {"closed": [socket.close_code, socket.close_reason]}


for line in sys.stdin:
    ((order, argument),) = json.loads(line).items()
    answer = connect(**argument) if order == "connect" else globals()[order](argument)
    print(json.dumps(answer), flush=True)
