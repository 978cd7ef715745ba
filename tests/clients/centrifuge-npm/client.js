// npm centrifuge in Node, in JSON or in Protobuf: see orders.js.
"use strict";
const { createInterface } = require("node:readline");
const { EventSource } = require("eventsource");
const WebSocket = require("ws");
const { puppetOf } = require("./orders.js");

const format = process.argv[2];
const { Centrifuge } = require(format === "protobuf" ? "centrifuge/build/protobuf" : "centrifuge");

(async () => {
  const obey = puppetOf(Centrifuge, { websocket: WebSocket, eventsource: EventSource });
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await obey(JSON.parse(line))));
  }
  process.exit(0);
})();
