// npm ws as a puppet: every line of standard input is an order, every order is answered by one line. See tests/tests/clients/puppet.rs.
"use strict";
const { createInterface } = require("node:readline");
const { readFileSync } = require("node:fs");
const WebSocket = require("ws");

let socket, heard, wanted, closed, whenClosed;

// Whoever waits for messages gets them once there are enough, or all there are when no more can come.
function deliver() {
  if (wanted && (heard.length >= wanted.count || closed)) {
    wanted.done({ heard: heard.splice(0, wanted.count) });
    wanted = undefined;
  }
}

const orders = {
  connect({ url, subprotocols, deflate, ca }) {
    return new Promise((done) => {
      let extensions = "";
      heard = [];
      wanted = undefined;
      closed = undefined;
      const opened = new WebSocket(url, subprotocols, { perMessageDeflate: deflate, ca: ca && readFileSync(ca) });
      socket = opened;
      opened.on("upgrade", (response) => (extensions = response.headers["sec-websocket-extensions"] ?? ""));
      opened.on("open", () => done({ opened: [opened.protocol, extensions] }));
      opened.on("error", (error) => done({ failed: error.message }));
      opened.on("message", (bytes) => {
        heard.push(bytes.toString());
        deliver();
      });
      whenClosed = new Promise((end) => {
        opened.on("close", (code, reason) => {
          closed = { closed: [code, reason.toString()] };
          deliver();
          end(closed);
        });
      });
    });
  },
  send(texts) {
    for (const text of texts) socket.send(text);
    return { sent: texts.length };
  },
  pieces(texts) {
    texts.forEach((text, index) => socket.send(text, { fin: index === texts.length - 1 }));
    return { sent: 1 };
  },
  hear: (count) =>
    new Promise((done) => {
      wanted = { count, done };
      deliver();
    }),
  ping: (payload) =>
    new Promise((done) => {
      socket.once("pong", (bytes) => done({ ponged: bytes.toString() }));
      socket.ping(payload);
    }),
  close([code, reason]) {
    socket.close(code, reason);
    return whenClosed;
  },
  ended: () => whenClosed,
};

(async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    const [[order, argument]] = Object.entries(JSON.parse(line));
    console.log(JSON.stringify(await orders[order](argument)));
  }
  process.exit(0);
})();
