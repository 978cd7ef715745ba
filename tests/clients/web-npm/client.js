// WebSockets with a browser's interface outside of browsers, as puppets: Node's own, and undici of two generations, by the name of the
// argument. They obey the page that browsers run; see tests/tests/clients/puppet.rs.
"use strict";
const { createInterface } = require("node:readline");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { runInThisContext } = require("node:vm");

const [, , name] = process.argv;
if (name !== "node") globalThis.WebSocket = require(name).WebSocket;
globalThis.say = (line) => console.log(line);
runInThisContext(readFileSync(join(__dirname, "..", "page.js"), "utf8"));

(async () => {
  for await (const line of createInterface({ input: process.stdin })) await order(JSON.parse(line));
  process.exit(0);
})();
