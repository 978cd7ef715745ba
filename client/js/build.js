//! Makes `dist/`: the sources as one minified module, and their types. `npm run build`, and before
//! `npm pack`.

import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
rmSync(here("dist"), { recursive: true, force: true });
await build({
  entryPoints: [here("src/index.ts")],
  outfile: here("dist/shardcast.js"),
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  banner: { js: "/* shardcast-client, MIT OR Apache-2.0 */" },
});
const types = ["--declaration", "--emitDeclarationOnly", "--outDir", here("dist/types")];
execFileSync(process.execPath, [here("node_modules/typescript/bin/tsc"), "--project", here("."), ...types], { stdio: "inherit" });
for (const license of ["LICENSE-APACHE", "LICENSE-MIT"]) copyFileSync(here(`../../${license}`), here(license));
