#!/usr/bin/env bash
# A server that calls its client under a number that the client has in use: rpc-websockets and open-rpc take the request for the answer to
# their own. Their ids and the server's are two spaces (JSON-RPC 2.0 has no word about it, for requests and responses tell themselves
# apart by `method`), but both look the id up before they look at `method`. A server that numbers its own calls 0, 1, 2, … meets the
# first pending call of every client. jayson, which asks first whether a message is a response, is right.
#
# rpc-websockets 10.0.1, @open-rpc/client-js 2.1.0, jayson 5.0.0, ws 8.23.0, Node 20.20.2. Seen:
#   rpc-websockets: rejected: Server response malformed. Response must include either "result" or "error", but not both.
#   open-rpc: resolved: undefined
#   jayson: resolved: 5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --ignore-scripts --no-audit --no-fund --loglevel=error \
    rpc-websockets@10.0.1 @open-rpc/client-js@2.1.0 jayson@5.0.0 ws@8.23.0 >/dev/null
cat >probe.mjs <<'EOF'
import { WebSocketServer } from "ws";
import { Client as RpcWebSockets } from "rpc-websockets";
import { Client as OpenRpc, RequestManager, WebSocketTransport } from "@open-rpc/client-js";
import jayson from "jayson/promise/index.js";

// Asks the client something under the id of the client's own request, and then answers that request.
const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
server.on("connection", (socket) =>
  socket.on("message", (data) => {
    const { id, params } = JSON.parse(data);
    socket.send(JSON.stringify({ jsonrpc: "2.0", method: "what.time.is.it", params: [], id }));
    socket.send(JSON.stringify({ jsonrpc: "2.0", result: params[0] + params[1], id }));
  }),
);
await new Promise((done) => server.once("listening", done));
const url = `ws://127.0.0.1:${server.address().port}`;
const settled = (call) =>
  call.then((value) => `resolved: ${JSON.stringify(value)}`, (error) => `rejected: ${error.message}`);

const one = new RpcWebSockets(url, { reconnect: false });
await new Promise((done) => one.once("open", done));
console.log(`rpc-websockets: ${await settled(one.call("add", [2, 3]))}`);

const two = new OpenRpc(new RequestManager([new WebSocketTransport(url)]));
two.onError(() => {});
console.log(`open-rpc: ${await settled(two.request({ method: "add", params: [2, 3] }))}`);

const three = jayson.Client.websocket({ url });
await new Promise((done) => three.ws.once("open", done));
console.log(`jayson: ${await settled(three.request("add", [2, 3]).then((answer) => answer.result))}`);
process.exit(0);
EOF
node --version
npm ls --depth=0 2>/dev/null | tail -n +2
timeout 60 node probe.mjs | tee seen
diff seen - <<'EOF'
rpc-websockets: rejected: Server response malformed. Response must include either "result" or "error", but not both.
open-rpc: resolved: undefined
jayson: resolved: 5
EOF
echo "as before"
