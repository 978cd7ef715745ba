// A browser's WebSocket as a puppet: order(…) is called by the test, every order is answered by one say(…). See tests/tests/clients/puppet.rs.
"use strict";
globalThis.puppet = { heard: [] };

// Whoever waits for messages gets them once there are enough, or all there are when no more can come.
function deliver() {
  const { wanted, heard, closed } = puppet;
  if (wanted && (heard.length >= wanted.count || closed)) {
    puppet.wanted = undefined;
    wanted.done({ heard: heard.splice(0, wanted.count) });
  }
}

globalThis.orders = {
  connect: ({ url, subprotocols }) =>
    new Promise((done) => {
      const socket = new WebSocket(url, subprotocols);
      puppet = { socket, heard: [] };
      socket.onopen = () => done({ opened: [socket.protocol, socket.extensions] });
      socket.onerror = () => done({ failed: "by the browser" });
      socket.onmessage = (event) => {
        puppet.heard.push(event.data);
        deliver();
      };
      puppet.whenClosed = new Promise((end) => {
        socket.onclose = ({ code, reason, wasClean }) => {
          puppet.closed = { closed: [code, wasClean ? reason : "unclean"] };
          deliver();
          end(puppet.closed);
        };
      });
    }),
  send(texts) {
    for (const text of texts) puppet.socket.send(text);
    return { sent: texts.length };
  },
  hear: (count) =>
    new Promise((done) => {
      puppet.wanted = { count, done };
      deliver();
    }),
  close([code, reason]) {
    puppet.socket.close(code, reason);
    return puppet.whenClosed;
  },
  ended: () => puppet.whenClosed,
};

globalThis.order = async (line) => {
  const [[name, argument]] = Object.entries(line);
  say(JSON.stringify(await orders[name](argument)));
};
