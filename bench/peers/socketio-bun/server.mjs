// Socket.IO on Bun as its documentation sets it up, with the engine made for Bun: `sub` a room, `pub` to it, `echo`.
import { Server as Engine } from '@socket.io/bun-engine';
import { Server } from 'socket.io';

const place = process.argv.indexOf('--listen') + 1;
const address = /^(.*):(\d+)$/.exec(process.argv[place] ?? '');
if (place === 0 || !address) {
  console.error('usage: start --prepare | --listen ADDRESS:PORT');
  process.exit(2);
}

const io = new Server({ serveClient: false });
const engine = new Engine({
  path: '/socket.io/',
  // Bytes of the largest message.
  maxHttpBufferSize: 1024 * 1024,
});
io.bind(engine);

io.on('connection', (socket) => {
  socket.on('sub', (room, acknowledge) => {
    socket.join(room);
    acknowledge();
  });
  socket.on('pub', (room, body) => io.to(room).emit('m', body));
  socket.on('echo', (body) => socket.emit('echo', body));
});

const handler = engine.handler();
Bun.serve({
  hostname: address[1].replace(/^\[|\]$/g, ''),
  port: Number(address[2]),
  ...handler,
  websocket: { ...handler.websocket, perMessageDeflate: false },
});
