// An issuer by npm jose: it signs what it is told to, has a set of keys at /keys, and checks tokens of others. One order a line, one answer a line;
// the first line is the port. Orders: {"make":KID,"alg":…}, {"publish":[KID…]}, {"sign":KID,"claims":{…}}, {"verify":TOKEN,"kid":KID}.
"use strict";
const { createServer } = require("node:http");
const { join } = require("node:path");
const { createInterface } = require("node:readline");
const { pathToFileURL } = require("node:url");

// Node 18 has it under another name.
globalThis.crypto ??= require("node:crypto").webcrypto;
// The package is for `import` alone, which does not look into NODE_PATH.
const library = pathToFileURL(join(process.env.NODE_PATH, "jose/dist/webapi/index.js"));

const keys = new Map();
let published = [];

async function make(jose, kid, alg, secret) {
  if (alg.startsWith("HS")) {
    const bytes = new TextEncoder().encode(secret);
    keys.set(kid, { alg, signs: bytes, checks: bytes });
    return;
  }
  const { publicKey, privateKey } = await jose.generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await jose.exportJWK(publicKey)), kid, alg, use: "sig" };
  keys.set(kid, { alg, signs: privateKey, checks: publicKey, jwk });
}

async function obey(jose, order) {
  if (order.make) {
    await make(jose, order.make, order.alg, order.secret);
    return "made";
  }
  if (order.publish) {
    published = order.publish.map((kid) => keys.get(kid).jwk);
    return "published";
  }
  if (order.sign) {
    const { alg, signs, jwk } = keys.get(order.sign);
    const header = jwk ? { alg, kid: order.sign } : { alg };
    return new jose.SignJWT(order.claims).setProtectedHeader(header).sign(signs);
  }
  const { alg, checks } = keys.get(order.kid);
  const { payload } = await jose.jwtVerify(order.verify, checks, { algorithms: [alg] });
  return JSON.stringify(payload);
}

async function main() {
  const jose = await import(library);
  const server = createServer((_, answer) => {
    answer.setHeader("Content-Type", "application/jwk-set+json");
    answer.end(JSON.stringify({ keys: published }));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  console.log(server.address().port);
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(await obey(jose, JSON.parse(line)));
  }
  process.exit(0);
}

main();
