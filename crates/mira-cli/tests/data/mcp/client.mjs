// The official client for TypeScript: starts the program in its arguments as a server, and uses what it has.

import { createRequire } from "node:module";

const load = createRequire(process.env.NODE_PATH + "/");
const { Client } = load("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = load("@modelcontextprotocol/sdk/client/stdio.js");

const [command, ...args] = process.argv.slice(2);
const client = new Client({ name: "test", version: "1.0.0" });
await client.connect(new StdioClientTransport({ command, args, env: process.env }));
const { tools } = await client.listTools();
console.log("tools", tools.map((tool) => tool.name).join(" "));
for (const [name, parameters] of JSON.parse(process.env.CALLS)) {
  const { content } = await client.callTool({ name, arguments: parameters });
  console.log(name, content[0].text);
}
await client.close();
