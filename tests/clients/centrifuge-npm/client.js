// npm centrifuge in Node, in JSON or in Protobuf: see orders.js.
"use strict";
const { createInterface } = require("node:readline");
const WebSocket = require("ws");
const { puppetOf } = require("./orders.js");

const format = process.argv[2];
const { Centrifuge } = require(format === "protobuf" ? "centrifuge/build/protobuf" : "centrifuge");
const obey = puppetOf(Centrifuge, { websocket: WebSocket });

(async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await obey(JSON.parse(line))));
  }
  process.exit(0);
})();
