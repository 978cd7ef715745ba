// npm msgpackr and @msgpack/msgpack over ws: each publishes what its language has, and reports what it heard of it and how it was refused.
"use strict";
const { createInterface } = require("node:readline");
const WebSocket = require("ws");
const msgpackr = require("msgpackr");
const msgpack = require("@msgpack/msgpack");

const plain = new msgpackr.Packr({ useRecords: false });
const records = new msgpackr.Packr();
const libraries = {
  msgpackr: { encode: (value) => plain.pack(value), decode: (bytes) => plain.unpack(bytes) },
  "@msgpack/msgpack": { encode: (value) => msgpack.encode(value), decode: (bytes) => msgpack.decode(bytes) },
};

createInterface({ input: process.stdin }).once("line", async (line) => {
  const { url, library } = JSON.parse(line);
  const { encode, decode } = libraries[library];
  const socket = new WebSocket(url);
  const heard = [];
  let wake = () => {};
  socket.on("message", (bytes) => { heard.push(decode(bytes)); wake(); });
  const next = async (is) => {
    for (;;) {
      const at = heard.findIndex(is);
      if (at >= 0) return heard.splice(at, 1)[0];
      await new Promise((done) => { wake = done; });
    }
  };
  const ask = async (id, request) => {
    socket.send(encode({ ...request, id }));
    return next((message) => Number(message.id) === id);
  };
  const report = {};
  await next((message) => message.type === "welcome");
  // Optional keys that are undefined, and an id that is a float on the wire.
  report.joined = (await ask(2 ** 33, { type: "join_room", room: "r", rooms: undefined, limit: undefined })).type;
  const at = new Date(Date.UTC(2020, 0, 1, 0, 0, 0, 125));
  const data = { at, ms: 1732860000000, whole: 2.0, half: 0.5, bytes: new Uint8Array([0, 1, 255]), none: null };
  report.published = (await ask(1, { type: "publish", room: "r", data })).type;
  const own = (await next((message) => message.type === "message")).data;
  report.own = own.at.getTime() === at.getTime() && own.ms === data.ms && own.bytes[2] === 255;
  const typed = await ask(3, { type: "typed", data: { at, ms: data.ms, bytes: data.bytes } });
  report.typed = { ...typed.data, bytes: [...typed.data.bytes], ms: Number(typed.data.ms) };
  socket.send(records.pack({ type: "ping", id: 4 }));
  report.records = (await next((message) => message.type === "error")).message;
  console.log(JSON.stringify(report));
  process.exit(0);
});
