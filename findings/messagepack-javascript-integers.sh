#!/usr/bin/env bash
# MessagePack of JavaScript: what leaves as an integer in one library is a float in the other, and what one writes the other cannot use
# as a number.
#
# npm msgpackr 2.1.4 and @msgpack/msgpack 3.1.3 on Node 20:
# - msgpackr writes every integer from 2^32 on, so every Date.now(), as a 64-bit float; @msgpack/msgpack writes an integer up to 2^53 - 1.
#   A reader with integer types (Rust, Go, Java) refuses the first.
# - msgpackr reads every 64-bit integer as BigInt, also 7 in eight bytes and the Date.now() of @msgpack/msgpack: `ms + 1` throws.
# - `undefined` is extension 0 in msgpackr, nil in @msgpack/msgpack, so `{room: undefined}` is neither absent nor nil on the wire.
# - `new Packr()` writes a record (extension 0x72, keys, values), which is no single MessagePack value; `pack()` writes a map.
#
# Exits with 1 when one of them behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --ignore-scripts --no-audit --no-fund --loglevel=error msgpackr@2.1.4 @msgpack/msgpack@3.1.3 >/dev/null
cat >probe.js <<'JS'
const one = require("msgpackr"), other = require("@msgpack/msgpack");
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const packr = new one.Packr({ useRecords: false });
const now = 1732860000000;
let throws = false;
try { packr.unpack(other.encode(now)) + 1; } catch (error) { throws = error instanceof TypeError; }
const seen = {
  "msgpackr, Date.now()": hex(packr.pack(now)),
  "@msgpack/msgpack, Date.now()": hex(other.encode(now)),
  "the latter plus 1 in the former throws": throws,
  "msgpackr, undefined": hex(packr.pack(undefined)),
  "@msgpack/msgpack, undefined": hex(other.encode(undefined)),
  "new Packr()": hex(new one.Packr().pack({ a: 1 })),
  "pack()": hex(one.pack({ a: 1 })),
};
console.log("node", process.version);
console.log(seen);
const expected = ["cb4279376813700000", "cf0000019376813700", true, "d40000", "c0", "d4724091a16101", "de0001a16101"];
const same = Object.values(seen).every((value, index) => value === expected[index]);
process.exit(same ? 0 : 1);
JS
node probe.js
