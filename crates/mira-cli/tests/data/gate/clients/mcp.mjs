// An MCP client that starts a server, as agents do: what is handed on to the server, and what it can do.

import { createRequire } from "node:module";

const load = createRequire(process.env.NODE_PATH);
const { Client } = load("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = load("@modelcontextprotocol/sdk/client/stdio.js");
const server = load.resolve("@modelcontextprotocol/server-everything/package.json");

const client = new Client({ name: "test", version: "1.0.0" });
const program = server.replace("package.json", "dist/index.js");
await client.connect(
  new StdioClientTransport({ command: process.execPath, args: [program, "stdio"], env: process.env }),
);
const call = async (name, args) =>
  (await client.callTool({ name, arguments: args })).content[0].text;
const { tools } = await client.listTools();
console.log("tools", tools.length);
console.log("sum", await call("get-sum", { a: 2, b: 40 }));
console.log("key", JSON.parse(await call("get-env", {})).KEY);
await client.close();
