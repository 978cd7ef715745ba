#!/usr/bin/env bash
# npm cent.js, a client of the Centrifugo server API, looks at the body of an answer and not at its status.
#
# cent.js 6.1.0 against an HTTP server that answers every call in one way:
# - 401, 403, 404 or 500 with a JSON object that has no member `error` is success: `publish` resolves, with no result in it.
# - The same statuses with `{"error":{"code":…,"message":…}}` reject, as does 200 with it.
# - 401 with a body that is not JSON rejects, with the parser's error.
# So a gateway or a server that refuses with an object of its own (RFC 9457 has `title` and `status`, no `error`) is heard as "published".
# Whoever serves this API puts `error` into every refusal, those of its authentication too.
#
# Exits with 1 when it behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts cent.js@6.1.0 >/dev/null
cat >calls.mjs <<'JS'
import http from "node:http";
import cent from "cent.js";

let answer;
const server = http.createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    response.writeHead(answer.status, { "Content-Type": "application/json" });
    response.end(answer.body);
  });
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const client = new cent.CentClient({ url: `http://127.0.0.1:${server.address().port}/api`, apiKey: "key" });

async function call(status, body) {
  answer = { status, body };
  try {
    const result = await client.publish({ channel: "news", data: { a: 1 } });
    return `resolves ${JSON.stringify(result)}`;
  } catch (error) {
    return "rejects";
  }
}

const refused = JSON.stringify({ title: "refused", status: 401 });
const error = JSON.stringify({ error: { code: 101, message: "unauthorized" } });
for (const status of [401, 403, 404, 500]) console.log(status, "without error:", await call(status, refused));
for (const status of [200, 401, 500]) console.log(status, "with error:", await call(status, error));
console.log(401, "not JSON:", await call(401, "unauthorized"));
server.close();
JS
node calls.mjs | tee calls
[[ $(grep -c 'without error: resolves {}$' calls) == 4 && $(grep -c 'rejects$' calls) == 4 ]]
