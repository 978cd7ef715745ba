//! `shardcast serve` in a process of its own: the program that `SERVED` names, or the debug build.
//!
//! Invariant: it ends with the test that started it.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const program = process.env.SERVED ?? fileURLToPath(new URL("../../../../target/debug/shardcast", import.meta.url));

export const ROOMS = `
[namespaces.log]
history = 100000
history_bytes = "64MiB"
history_ttl = "1h"
[namespaces.chat]
history = 100
history_ttl = "1h"
[namespaces.short]
history = 3
[namespaces.price]
history = 50
last = "newest_by_key"
[namespaces.team]
presence_events = true
[namespaces.closed]
join = "nobody"
`;

/** Starts one; `more` are sections of its configuration. */
export async function serve(t, more = ROOMS) {
  const folder = mkdtempSync(join(tmpdir(), "shardcast-client-js-"));
  const file = join(folder, "shardcast.toml");
  const base = '[server]\nlisten = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\nshards = 2\npin = "none"\n';
  writeFileSync(file, base + more);
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("SHARDCAST_")));
  const child = spawn(program, ["serve", "--config", file], { env, stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  child.stderr.on("data", (text) => (log += text));
  const ended = new Promise((resolve) => child.on("exit", resolve));
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
    rmSync(folder, { recursive: true });
  });
  const ready = await Promise.race([
    new Promise((resolve) => createInterface(child.stdout).once("line", resolve)),
    ended.then((code) => Promise.reject(new Error(`the server ended with ${code}: ${log}`))),
  ]);
  const [, port] = /ws:\/\/127\.0\.0\.1:(\d+)/.exec(ready);
  return {
    port: Number(port),
    url: `ws://127.0.0.1:${port}/ws`,
    /** Drains it, as systemd does. */
    async stop() {
      child.kill("SIGTERM");
      return ended;
    },
    /** Ends it as a crash does. */
    async crash() {
      child.kill("SIGKILL");
      return ended;
    },
  };
}
