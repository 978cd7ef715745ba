//! The package as users get it: one small module without dependencies, its types, its licences.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = fileURLToPath(new URL("..", import.meta.url));
const read = (name) => readFileSync(join(here, name), "utf8");

test("one module of at most 12 KiB, without dependencies", () => {
  const module = read("dist/shardcast.js");
  assert.ok(gzipSync(module, { level: 9 }).length <= 12 * 1_024, `${gzipSync(module, { level: 9 }).length} bytes`);
  assert.doesNotMatch(module, /\bimport\b|\brequire\(/);
  const { dependencies, peerDependencies, optionalDependencies, license } = JSON.parse(read("package.json"));
  assert.deepEqual([dependencies, peerDependencies, optionalDependencies], [undefined, undefined, undefined]);
  assert.equal(license, "MIT OR Apache-2.0");
  assert.doesNotMatch(read("package-lock.json"), /"resolved"/, "no registry is named");
});

test("what is packed", () => {
  const [{ files }] = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: here, encoding: "utf8" }));
  const paths = files.map(({ path }) => path);
  for (const path of ["dist/shardcast.js", "dist/types/index.d.ts", "LICENSE-MIT", "LICENSE-APACHE", "README.md", "package.json"]) {
    assert.ok(paths.includes(path), path);
  }
  assert.deepEqual(paths.filter((path) => /^(src|test|node_modules)/.test(path)), []);
});

test("its types are those that users need", (t) => {
  const folder = mkdtempSync(join(here, "dist", "user-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "user.ts"), `
    import { Client, ShardcastError, type Item, type Receipt } from "shardcast-client";
    const client = new Client(new URL("ws://127.0.0.1/ws"), { token: async () => "x", queue: { whenFull: "drop_oldest" } });
    const receipt: Promise<Receipt> = client.publish({ user: "ann" }, 1);
    const sum: Promise<number> = client.request<number>("add", [1, 2], { signal: AbortSignal.timeout(1) });
    const heard = (item: Item): string => {
      switch (item.type) {
        case "message": return item.from;
        case "event": return item.event;
        case "joined": return String(item.members);
        case "recovered": return String(item.missed);
        case "lost": return item.why;
        case "missed": return item.reason;
        case "presence": return item.event;
        case "error": return item.error.code;
      }
    };
    client.subscribe("a", heard, { since: { epoch: "e", offset: 1 } }).unsubscribe();
    for await (const item of client.subscribe("b")) heard(item);
    const ended: ShardcastError | undefined = await client.closed;
    client.on("state", ({ state }) => { const known: "connecting" | "connected" | "authenticated" | "recovering" | "draining" | "closed" = state; });
    // @ts-expect-error: no such policy
    client.subscribe("a", { whenFull: "grow" });
    // @ts-expect-error: no such event
    client.on("nothing", () => {});
    export { receipt, sum, ended };
  `);
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({
    compilerOptions: {
      strict: true, noEmit: true, target: "es2022", module: "nodenext", types: [], lib: ["es2022", "dom"],
    },
    files: ["user.ts"],
  }));
  const tsc = join(here, "node_modules/typescript/bin/tsc");
  try {
    execFileSync(process.execPath, [tsc, "--project", folder], { encoding: "utf8" });
  } catch (failed) {
    assert.fail(failed.stdout);
  }
});
