// axios.

import { createRequire } from "node:module";

import { walk } from "./steps.mjs";

const axios = createRequire(process.env.NODE_PATH)("axios");

const get = async (url, headers) => {
  const answer = await axios.get(url, { headers, responseType: "text", validateStatus: null });
  return [answer.status, answer.data];
};

await walk(get, async (url) => (await axios.get(url, { responseType: "stream" })).data);
