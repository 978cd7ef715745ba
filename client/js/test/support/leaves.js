//! Connects, does a little, closes, and says which timers are left. It ends by itself, or not at all.

import { Client } from "../../dist/shardcast.js";
import { WebSocket } from "./socket.js";

const [, , url, mode] = process.argv;
const client = new Client(url, { WebSocket, reconnect: { minMs: 10, baseMs: 20, maxMs: 50 }, heartbeatMs: 100, pongTimeoutMs: 100 });
const heard = client.subscribe("chat:a");
const published = client.publish("chat:a", 1);
// Nobody looks at this one.
client.request("nobody handles this");
if (mode === "refused") await new Promise((resolve) => setTimeout(resolve, 200));
else {
  await published;
  await heard.joined;
  if (mode === "half-open") {
    console.log("now");
    await new Promise((found) => client.on("state", ({ state }) => state === "connecting" && found()));
  }
}
await client.close();
// Timers that ended in this turn still count.
await new Promise((resolve) => setImmediate(resolve));
const timers = process.getActiveResourcesInfo().filter((resource) => resource === "Timeout");
console.log(`closed, and ${timers.length} timers`);
