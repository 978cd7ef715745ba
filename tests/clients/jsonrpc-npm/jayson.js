// npm jayson: as rpc-websockets.js. What comes unasked it passes over.
"use strict";
const { createInterface } = require("node:readline");
const jayson = require("jayson/promise");

createInterface({ input: process.stdin }).once("line", async (line) => {
  const client = jayson.Client.websocket({ url: JSON.parse(line).url });
  await new Promise((done, fail) => client.ws.once("open", done).once("error", fail));
  const call = async (method, params) => (await client.request(method, params)).result;
  const report = {};
  report.asked = await call("ask.me", []);
  report.sum = await call("add", [2, 3]);
  report.named = await call("subtract", { minuend: 5, subtrahend: 3 });
  report.unit = await call("unit", []);
  report.rooms = await call("rooms", {});
  report.error = (await client.request("nobody.knows", [])).error.code;
  // The id null makes a notification.
  await client.request("note", [1], null);
  await client.request("note", [], null);
  const numbers = [...Array(50).keys()];
  const echoes = await Promise.all(numbers.map((number) => call("add", [number, 0])));
  report.echoes = echoes.every((echo, index) => echo === index);
  const batch = [client.request("add", [1, 1], undefined, false), client.request("add", [2, 2], undefined, false)];
  const answers = await client.request(batch);
  report.batch = answers.map((answer) => answer.result).sort();
  report.last = await call("add", [4, 5]);
  console.log(JSON.stringify(report));
  process.exit(0);
});
