// A door in front of a server: who has the key is let through, and what comes through is written down, a JSON line each.
//
// Its argument is the server's port. /moved sends callers to another origin, /moved-here to the same.

import { createServer, request } from "node:http";

const upstream = Number(process.argv[2]);
const key = `Bearer ${process.argv[3]}`;
const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");

const door = createServer((incoming, answer) => {
  say({ method: incoming.method, url: incoming.url, headers: incoming.headers });
  const send = (status, headers) => answer.writeHead(status, headers).end();
  if (incoming.url === "/moved") return send(307, { location: `http://127.0.0.1:${upstream}/mcp` });
  if (incoming.url === "/moved-here") return send(307, { location: "/mcp" });
  if (incoming.headers.authorization !== key) return send(401, { "www-authenticate": "Bearer" });
  const { host, ...headers } = incoming.headers;
  const through = request(
    { port: upstream, host: "127.0.0.1", method: incoming.method, path: incoming.url, headers },
    (back) => {
      answer.writeHead(back.statusCode, back.headers);
      answer.flushHeaders();
      back.pipe(answer);
      back.on("error", () => answer.destroy());
    },
  );
  through.on("error", () => answer.destroy());
  answer.on("close", () => through.destroy());
  incoming.pipe(through);
});
door.listen(0, "127.0.0.1", () => say({ port: door.address().port }));
