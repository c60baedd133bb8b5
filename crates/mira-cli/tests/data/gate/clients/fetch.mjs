// `fetch` of Node.js.

import { walk } from "./steps.mjs";

const get = async (url, headers) => {
  const answer = await fetch(url, { headers });
  return [answer.status, await answer.text()];
};

await walk(get, async (url) => (await fetch(url)).body);
