// The raw protocol the way a careful user of Bun would write it. Bun's WebSocket server and its topics are uWebSockets, so it stands for that.
// One event loop; uWebSockets sets TCP_NODELAY, listens with a backlog of 512 that cannot be changed, and merges what a turn of the loop publishes.

const SUBSCRIBE = 'S'.charCodeAt(0);
const PUBLISH = 'P'.charCodeAt(0);
const TOPIC = 't';

const place = process.argv.indexOf('--listen') + 1;
const address = /^(.*):(\d+)$/.exec(process.argv[place] ?? '');
if (place === 0 || !address) {
  console.error('usage: start --listen ADDRESS:PORT');
  process.exit(2);
}

// --tls CERTIFICATE KEY: PEM files; clients then come by TLS. --compress: permessage-deflate by uWebSockets' shared compressor, without context
// takeover, for what is published and echoed.
const secure = process.argv.indexOf('--tls') + 1;
const [certificate, key] = process.argv.slice(secure, secure + 2);
const tls = secure ? { tls: { cert: Bun.file(certificate), key: Bun.file(key) } } : {};
const compress = process.argv.includes('--compress');

const server = Bun.serve({
  ...tls,
  hostname: address[1].replace(/^\[|\]$/g, ''),
  port: Number(address[2]),
  // Seconds; 0 is never.
  idleTimeout: 0,
  fetch(request, server) {
    if (!server.upgrade(request)) {
      return new Response('WebSocket clients only\n', { status: 426 });
    }
  },
  websocket: {
    perMessageDeflate: compress && { compress: 'shared', decompress: 'shared' },
    sendPings: false,
    idleTimeout: 0,
    // Bytes of the largest message.
    maxPayloadLength: 1024 * 1024,
    // Bytes that may wait for one client; a client that is further behind is closed.
    backpressureLimit: 16 * 1024 * 1024,
    closeOnBackpressureLimit: true,
    open(socket) {
      socket.binaryType = 'uint8array';
    },
    message(socket, message) {
      if (typeof message === 'string') {
        socket.sendText(message, compress);
        return;
      }
      switch (message[0]) {
        case SUBSCRIBE:
          socket.subscribe(TOPIC);
          break;
        case PUBLISH:
          server.publish(TOPIC, message.subarray(1), compress);
          break;
        default:
          socket.sendBinary(message, compress);
      }
    },
  },
});

console.log(`bun peer listens on ${address[1]}:${server.port}, Bun ${Bun.version}`);
