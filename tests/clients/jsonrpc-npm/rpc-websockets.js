// npm rpc-websockets: one line of standard input has the URL; what the library makes of the server is answered in one line. See
// tests/tests/clients/json_rpc.rs.
"use strict";
const { createInterface } = require("node:readline");
const { Client } = require("rpc-websockets");

createInterface({ input: process.stdin }).once("line", async (line) => {
  const client = new Client(JSON.parse(line).url, { reconnect: false });
  const welcomed = new Promise((done) => client.once("welcome", done));
  await new Promise((done, fail) => client.once("open", done).once("error", fail));
  const welcome = await welcomed;
  const report = { welcomed: typeof welcome.connection };
  report.asked = await client.call("ask.me", []);
  report.sum = await client.call("add", [2, 3]);
  report.named = await client.call("subtract", { minuend: 5, subtrahend: 3 });
  report.unit = await client.call("unit");
  report.rooms = await client.call("rooms", []);
  report.error = await client.call("nobody.knows").catch((error) => error.code);
  await client.notify("note", [1]);
  await client.notify("note");
  const numbers = [...Array(50).keys()];
  const echoes = await Promise.all(numbers.map((number) => client.call("add", [number, 0])));
  report.echoes = echoes.every((echo, index) => echo === index);
  const heard = new Promise((done) => client.once("message", done));
  await client.call("join_room", { room: "r" });
  await client.call("publish", { room: "r", data: { text: "hello" } });
  report.heard = (await heard).data;
  report.last = await client.call("add", [4, 5]);
  client.close();
  console.log(JSON.stringify(report));
  process.exit(0);
});
