// undici, which looks at proxy variables only where it is asked to, as here.

import { createRequire } from "node:module";

import { walk } from "./steps.mjs";

const { EnvHttpProxyAgent, request } = createRequire(process.env.NODE_PATH)("undici");
const dispatcher = new EnvHttpProxyAgent();

const get = async (url, headers) => {
  const { statusCode, body } = await request(url, { headers, dispatcher });
  return [statusCode, await body.text()];
};

await walk(get, async (url) => (await request(url, { dispatcher })).body);
