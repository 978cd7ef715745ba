// npm cent.js, a server library for Centrifugo, as a puppet: an order is a method of the API with its parameters, and its answer the result, or {"error": "refused"}.
"use strict";
const { createInterface } = require("node:readline");
const { CentClient } = require("cent.js");

const [url, apiKey] = process.argv.slice(2);
const client = new CentClient({ url, apiKey });
const methods = {
  presence: "getPresence",
  presence_stats: "getPresenceStats",
  history: "getHistory",
  history_remove: "removeHistory",
  channels: "getChannels",
  info: "getInfo",
};

const obey = async (order) => {
  const [[method, params]] = Object.entries(order);
  try {
    if (method === "pipeline") {
      const commands = params.map((command) => Object.entries(command)[0]);
      return { results: await client.pipeline(commands.map(([method, params]) => ({ method, params }))) };
    }
    return await client[methods[method] ?? method](params);
  } catch (error) {
    // The library keeps nothing of the number.
    return { error: "refused" };
  }
};

(async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await obey(JSON.parse(line))));
  }
  process.exit(0);
})();
