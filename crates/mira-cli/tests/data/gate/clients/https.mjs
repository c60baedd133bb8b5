// The module `https` of Node.js.

import { get as request } from "node:https";
import { once } from "node:events";

import { walk } from "./steps.mjs";

const answer = async (url, headers) => (await once(request(url, { headers }), "response"))[0];

const get = async (url, headers) => {
  const message = await answer(url, headers);
  return [message.statusCode, Buffer.concat(await message.toArray()).toString()];
};

await walk(get, (url) => answer(url, {}));
