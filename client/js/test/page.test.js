//! The examples of docs/client-js.md, each in a process of its own against a server: it ends by
//! itself, and prints what the page says.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { serve } from "./support/server.js";

const page = readFileSync(new URL("../../../docs/client-js.md", import.meta.url), "utf8");
const examples = [...page.matchAll(/```js\n([^]*?)```\n(?:```text\n([^]*?)```\n)?/g)];

test("the examples of the page", { timeout: 120_000 }, async (t) => {
  const [, toml] = /```toml\n([^]*?)```/.exec(page);
  const server = await serve(t, toml);
  const folder = mkdtempSync(fileURLToPath(new URL("../dist/examples-", import.meta.url)));
  t.after(() => rmSync(folder, { recursive: true }));
  assert.ok(examples.length >= 4);
  for (const [number, [, example, expected]] of examples.entries()) {
    const file = join(folder, `${number}.js`);
    const module = new URL("../dist/shardcast.js", import.meta.url).href;
    const socket = new URL("support/socket.js", import.meta.url).href;
    const text = example.replaceAll('"shardcast-client"', JSON.stringify(module)).replaceAll("ws://127.0.0.1:8000/ws", server.url);
    writeFileSync(file, `import { WebSocket } from ${JSON.stringify(socket)};\nglobalThis.WebSocket ??= WebSocket;\n${text}`);
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [file], { timeout: 60_000 });
    assert.equal(stderr, "");
    assert.equal(stdout, expected ?? "", example);
  }
});
