// Socket.IO on Node as its documentation sets it up, for WebSocket clients only: `sub` a room, `pub` to it, `echo`.
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const place = process.argv.indexOf('--listen') + 1;
const address = /^(.*):(\d+)$/.exec(process.argv[place] ?? '');
if (place === 0 || !address) {
  console.error('usage: start --prepare | --listen ADDRESS:PORT');
  process.exit(2);
}

const http = createServer();
const io = new Server(http, {
  transports: ['websocket'],
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
  // Bytes of the largest message.
  maxHttpBufferSize: 1024 * 1024,
});

io.on('connection', (socket) => {
  socket.on('sub', (room, acknowledge) => {
    socket.join(room);
    acknowledge();
  });
  socket.on('pub', (room, body) => io.to(room).emit('m', body));
  socket.on('echo', (body) => socket.emit('echo', body));
});

// 4096: length of the queue of connections to accept.
http.listen(Number(address[2]), address[1].replace(/^\[|\]$/g, ''), 4096);
