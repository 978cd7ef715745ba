// npm @open-rpc/client-js: as rpc-websockets.js.
"use strict";
const { createInterface } = require("node:readline");
const { join } = require("node:path");
const { pathToFileURL } = require("node:url");

// The package is for `import` alone, which does not look into NODE_PATH.
const library = pathToFileURL(join(process.env.NODE_PATH, "@open-rpc/client-js/dist/index.js"));

createInterface({ input: process.stdin }).once("line", async (line) => {
  const { Client, RequestManager, WebSocketTransport } = await import(library);
  const transport = new WebSocketTransport(JSON.parse(line).url);
  const client = new Client(new RequestManager([transport]));
  const waiting = {};
  const hear = (method) => new Promise((done) => (waiting[method] = done));
  client.onNotification(({ method, params }) => waiting[method]?.(params));
  client.onError(() => {});
  const welcomed = hear("welcome");
  const call = (method, params) => client.request({ method, params });
  const report = {};
  report.asked = await call("ask.me", []);
  report.welcomed = typeof (await welcomed).connection;
  report.sum = await call("add", [2, 3]);
  report.named = await call("subtract", { minuend: 5, subtrahend: 3 });
  report.unit = await call("unit", []);
  report.rooms = await call("rooms", []);
  report.error = await call("nobody.knows", []).catch((error) => error.code);
  await client.notify({ method: "note", params: [1] });
  await client.notify({ method: "note", params: [] });
  const numbers = [...Array(50).keys()];
  const echoes = await Promise.all(numbers.map((number) => call("add", [number, 0])));
  report.echoes = echoes.every((echo, index) => echo === index);
  const heard = hear("message");
  await call("join_room", { room: "r" });
  await call("publish", { room: "r", data: { text: "hello" } });
  report.heard = (await heard).data;
  client.startBatch();
  const batch = [call("add", [1, 1]), call("add", [2, 2])];
  client.stopBatch();
  report.batch = await Promise.all(batch);
  report.last = await call("add", [4, 5]);
  client.close();
  console.log(JSON.stringify(report));
  process.exit(0);
});
