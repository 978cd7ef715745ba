// The raw protocol the way a careful user of Node's ws would write it: no compression, bufferutil's native masking, a published frame encoded once
// and written to every subscriber's socket, and all that one turn of the event loop publishes in one write per subscriber.

import { createServer } from 'node:http';
import { Sender, WebSocketServer } from 'ws';

const SUBSCRIBE = 'S'.charCodeAt(0);
const PUBLISH = 'P'.charCodeAt(0);
const MESSAGE_BYTES_MAX = 1024 * 1024;
// Bytes that may wait for one client; a client that is further behind is closed.
const OUTBOX_BYTES_MAX = 16 * 1024 * 1024;
const BACKLOG = 4096;

const place = process.argv.indexOf('--listen') + 1;
const address = /^(.*):(\d+)$/.exec(process.argv[place] ?? '');
if (place === 0 || !address) {
  console.error('usage: start --listen ADDRESS:PORT');
  process.exit(2);
}

// WebSockets by the TCP socket below them.
const subscribers = new Map();
// Whether the subscribers' sockets hold back what is written until the turn ends.
let held = false;

function publish(payload) {
  // `ws` itself would encode a header per subscriber.
  const options = { fin: true, rsv1: false, opcode: 2, mask: false, readOnly: true };
  const frame = Buffer.concat(Sender.frame(payload, options));
  if (!held) {
    held = true;
    for (const socket of subscribers.keys()) {
      socket.cork();
    }
    setImmediate(release);
  }
  for (const [socket, client] of subscribers) {
    if (socket.writableLength > OUTBOX_BYTES_MAX) {
      client.terminate();
    } else {
      socket.write(frame);
    }
  }
}

function release() {
  held = false;
  for (const socket of subscribers.keys()) {
    socket.uncork();
  }
}

function serve(client, socket) {
  client.on('message', (message, isBinary) => {
    if (!isBinary) {
      client.send(message, { binary: false });
    } else if (message[0] === SUBSCRIBE) {
      if (held && !subscribers.has(socket)) {
        socket.cork();
      }
      subscribers.set(socket, client);
    } else if (message[0] === PUBLISH) {
      publish(message.subarray(1));
    } else {
      client.send(message, { binary: true });
    }
  });
  // A client that breaks the protocol or vanishes ends its own connection only.
  client.on('error', () => {});
  client.on('close', () => subscribers.delete(socket));
}

const server = createServer();
const websockets = new WebSocketServer({
  noServer: true,
  clientTracking: false,
  perMessageDeflate: false,
  maxPayload: MESSAGE_BYTES_MAX,
  skipUTF8Validation: true,
});
server.on('upgrade', (request, socket, head) => {
  socket.setNoDelay(true);
  websockets.handleUpgrade(request, socket, head, (client) => serve(client, socket));
});
server.listen({ host: address[1].replace(/^\[|\]$/g, ''), port: Number(address[2]), backlog: BACKLOG }, () => {
  console.log(`node-ws peer listens on ${address[1]}:${server.address().port}, Node ${process.version}`);
});
