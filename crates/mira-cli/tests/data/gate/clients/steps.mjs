// What every client does; each brings its own way to get something and to follow events.

const [allowed, brokered, refused] = process.argv.slice(2);
const key = process.env.KEY;

/** Makes lines of pieces of bytes, each as soon as it is whole. */
async function* lines(pieces) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of pieces) {
    const parts = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = parts.pop();
    yield* parts;
  }
}

/** `get(url, headers)` gives a status and a text; `follow(url)` the pieces of a stream. */
export async function walk(get, follow) {
  console.log("key", key);
  console.log("allowed", (await get(`${allowed}/echo`, {}))[0]);
  console.log("brokered", (await get(`${brokered}/echo`, { authorization: `Bearer ${key}` }))[0]);
  for await (const line of lines(await follow(`${brokered}/sse`))) {
    if (line.startsWith("data: ")) {
      const event = line.slice("data: ".length);
      console.log("event", event);
      await get(`${allowed}/echo?ack=${event}`, {});
    }
  }
  try {
    console.log("refused", ...(await get(`${refused}/`, {})));
  } catch (error) {
    console.log("refused", String(error), String(error.cause));
  }
}
