// A chat's backend behind webhooks, in Node without packages: the same decisions as backend.py.
//
//     GATEWAY_SECRET=0123456789abcdef node server/examples/gateway/webhook.mjs 9000
//     GATEWAY_SECRET=0123456789abcdef shardcast serve --set gateway.url=http://127.0.0.1:9000/ --set gateway.secret_env=GATEWAY_SECRET
//
// Connect with ws://127.0.0.1:8000/ws?user=ann.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const BODY_BYTES_MAX = 1 << 20;
const secret = process.env.GATEWAY_SECRET;

const reject = (code, message) => ({ reject: { code, message } });

function decide(event) {
  switch (event.event) {
    case "connect": {
      const user = new URLSearchParams(event.request.query ?? "").get("user");
      if (user === null) return reject("unauthorized", "say who you are: ?user=NAME");
      if (user === "mallory") return reject("forbidden", "not you");
      return { user, roles: [user === "ann" ? "moderator" : "member"] };
    }
    case "join": {
      const staff = event.rooms.some((room) => room.startsWith("staff:"));
      return staff && !event.roles.includes("moderator") ? reject("forbidden", "this room is for moderators") : {};
    }
    case "publish":
      return event.data === "spam" ? reject("forbidden", "no spam") : {};
    case "rpc":
      if (event.method === "add") return { data: event.data.reduce((sum, number) => sum + number, 0) };
      if (event.method === "shout") {
        const { room, text } = event.data;
        // The server says it before it answers.
        return { data: true, publish: [{ room, event: "shout", data: text.toUpperCase() }] };
      }
      return reject("unknown_type", `there is no ${event.method}`);
    default:
      return {};
  }
}

// Signed with the secret, not long ago.
function isSigned(headers, body) {
  const time = Number(headers["shardcast-timestamp"]);
  const given = Buffer.from(headers["shardcast-signature"] ?? "");
  const wanted = Buffer.from("v1=" + createHmac("sha256", secret).update(`${time}.`).update(body).digest("hex"));
  return given.length === wanted.length && timingSafeEqual(given, wanted) && Math.abs(Date.now() / 1000 - time) < 60;
}

const server = createServer(async (request, response) => {
  const answer = (status, body) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  const pieces = [];
  let bytes = 0;
  for await (const piece of request) {
    if ((bytes += piece.length) > BODY_BYTES_MAX) return request.destroy();
    pieces.push(piece);
  }
  const body = Buffer.concat(pieces);
  if (secret && !isSigned(request.headers, body)) return answer(401, { message: "not signed" });
  try {
    answer(200, decide(JSON.parse(body)));
  } catch (error) {
    // No 500: what one client sends would have the server take the backend for one that fails.
    console.error(error);
    answer(200, reject("handler_failed", "the backend failed"));
  }
});
// Longer than the server leaves a connection alone, so that requests rarely meet one that ends.
server.keepAliveTimeout = 75_000;
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log(`ready ${server.address().port}`));
