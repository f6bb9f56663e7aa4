/**
 * The worker in which the page's models live: it loads them once, answers for them, and keeps the
 * page itself free. Messages in: {key, name, message}, `name` being that of the model and `key`
 * what the answers carry.
 */
import { addressOf } from "./address.js";
import { readAdapter } from "../engine/adapter.js";
import { readRanks, readTokenizerFiles } from "../engine/bpe.js";
import { MOST_PARAMETERS, readConfig, readParameters } from "../engine/checkpoint.js";
import { GPTModel, roomFor } from "../engine/gpt.js";
import { plainKernel } from "../engine/kernel-plain.js";
import { wasmKernel } from "../engine/kernel-wasm.js";
import { LiveModel } from "../engine/live-model.js";

const CACHE = "llmbook-models";

/** @type {Map<string, LiveModel>} */
const models = new Map();

/** @param {import("../engine/gpt.js").Config} config */
async function createKernel(config) {
  const { numbers, pieces, parameters } = roomFor(config);
  if (parameters > MOST_PARAMETERS) {
    const [has, most] = [parameters, MOST_PARAMETERS].map((n) =>
      Math.round(n / 1e6).toLocaleString("en-US"),
    );
    throw new Error(
      `this model has ${has} million parameters; a page takes ${most} million at most`,
    );
  }
  if (config.emb_dim % 4) return plainKernel();
  try {
    return await wasmKernel(numbers, pieces);
  } catch {
    return plainKernel(); // a browser without SIMD
  }
}

/** @returns {Promise<LiveModel>} */
async function build(config, weights, tokenizer, normalized) {
  const kernel = await createKernel(config);
  const parameters = await readParameters(config, weights, kernel.alloc);
  const largest = Math.max(...tokenizer.ranks.values(), ...tokenizer.special.values());
  if (largest >= config.vocab_size) {
    const [has, knows] = [largest + 1, config.vocab_size].map((n) => n.toLocaleString("en-US"));
    throw new Error(
      `the tokenizer has ${has} tokens, but the model knows ${knows}; use the tokenizer that the model was trained with`,
    );
  }
  return new LiveModel(new GPTModel(config, parameters, kernel), tokenizer, { normalized });
}

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/**
 * The checksum of `zlib.crc32`, which also a page without a secure origin can compute.
 * @param {Uint8Array} bytes
 */
export function crc32(bytes) {
  let crc = ~0;
  for (let i = 0; i < bytes.length; i += 1) crc = (crc >>> 8) ^ table[(crc ^ bytes[i]) & 255];
  return ~crc >>> 0;
}

/** Throws unless the bytes are those that were published. */
function check({ file, bytes: expected, crc32: sum }, bytes) {
  if (bytes.length !== expected) {
    throw new Error(
      `only ${bytes.length.toLocaleString("en-US")} of ${expected.toLocaleString("en-US")} bytes of ${file} arrived; try again`,
    );
  }
  if (crc32(bytes) !== sum) throw new Error(`${file} arrived damaged; try again`);
}

/** The browser's store for files that were loaded before, or null where there is none. */
const openCache = async () => (globalThis.caches ? caches.open(CACHE).catch(() => null) : null);

/**
 * The bytes of a published file, from the browser's store or from the site.
 * @param {{file: string, bytes: number, crc32: number}} published
 * @param {(loaded: number) => void} onProgress
 * @param {AbortSignal} signal
 */
async function load(published, onProgress, signal) {
  const url = addressOf(published);
  const cache = await openCache();
  const kept = await cache?.match(url);
  if (cache && kept) {
    const bytes = new Uint8Array(await kept.arrayBuffer());
    if (bytes.length === published.bytes && crc32(bytes) === published.crc32) return bytes;
    await cache.delete(url);
  }
  // a damaged file must not come back out of a cache
  const response = await fetch(url, { signal, cache: "reload" });
  if (!response.ok)
    throw new Error(
      `${published.file} could not be loaded (${response.status}); is the page online?`,
    );
  const bytes = new Uint8Array(await new Blob(await chunksOf(response, onProgress)).arrayBuffer());
  check(published, bytes);
  keep(cache, url, bytes); // not waited for: the reader waits for the model
  return bytes;
}

async function chunksOf(response, onProgress) {
  const chunks = [];
  let loaded = 0;
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return chunks;
    chunks.push(value);
    onProgress((loaded += value.length));
  }
}

/**
 * Store a file for the next page, and drop older ones of the same name; a full store is no error.
 */
async function keep(cache, url, bytes) {
  try {
    for (const request of await cache.keys())
      if (new URL(request.url).pathname === url.pathname) await cache.delete(request);
    await cache.put(url, new Response(bytes));
  } catch {
    // it is loaded again on the next page
  }
}

/** Where each model that is being loaded can be given up. @type {Map<string, AbortController>} */
const loading = new Map();

/** How a message that a part of the program threw reads after "The model could not be loaded: ". */
const reason = (error) =>
  error?.name === "TypeError" && /fetch|network/i.test(error.message)
    ? "the site could not be reached; is the page online?"
    : String(error?.message ?? error);

const actions = {
  /** Load a model that the site publishes. */
  async load({ name, message, reply }) {
    const { published } = message;
    if (models.has(name))
      return reply({ kind: "status", state: "ready", name, bytes: published.weights.bytes });
    if (loading.has(name)) return; // its progress is told to all
    const status = (state, more = {}) =>
      reply({ kind: "status", state, name, bytes: published.weights.bytes, ...more }, [], "all");
    const control = new AbortController();
    loading.set(name, control);
    status("loading", { loaded: 0 });
    try {
      const onProgress = (loaded) => status("loading", { loaded });
      const ranks = await load(published.ranks, () => {}, control.signal);
      const weights = await load(published.weights, onProgress, control.signal);
      const tokenizer = {
        ranks: readRanks(ranks.buffer),
        special: new Map(Object.entries(published.special)),
      };
      models.set(
        name,
        await build(published.config, new Blob([weights]), tokenizer, published.normalized),
      );
      status("ready");
    } catch (error) {
      if (control.signal.aborted) status("absent");
      else status("failed", { message: reason(error) });
    } finally {
      if (loading.get(name) === control) loading.delete(name);
    }
  },

  /** Fetch an adapter that the site publishes, for requests that name it. */
  async adapter({ name, message, reply }) {
    const live = models.get(name);
    if (!live) throw new Error("the model is not loaded yet");
    const { seq, adapter, published } = message;
    if (!live.adapters.known.has(adapter)) {
      const bytes = await load(published, () => {}, new AbortController().signal);
      const { config } = live.model;
      live.adapters.add(adapter, await readAdapter(config, new Blob([bytes]), published.alpha));
    }
    reply({ kind: "adapter", seq, adapter, classes: live.adapters.get(adapter).head?.rows ?? 0 });
  },

  async cancel({ name }) {
    loading.get(name)?.abort();
    loading.delete(name); // another try need not wait for the end of this one
  },

  /** Take a model out of files that the reader gave. */
  async adopt({ name, message, reply }) {
    const { config, weights, vocab, merges } = message.files;
    const tokenizer = readTokenizerFiles(await vocab.text(), await merges.text());
    const live = await build(readConfig(await config.text()), weights, tokenizer, false);
    models.set(name, live);
    reply({
      kind: "adopted",
      seq: message.seq,
      name,
      config: live.model.config,
      kernel: live.model.kernel.name,
    });
  },

  async drop({ name }) {
    models.delete(name);
  },

  /** Everything else is for the model itself. */
  async ask({ key, name, message, reply }) {
    const model = models.get(name);
    if (!model) throw new Error("the model is not loaded yet");
    if (message.kind === "stop") return model.stop(`${key} ${message.of}`);
    if (!ASKED.includes(message.kind)) throw new Error(`no model answers "${message.kind}"`);
    const replies = model[message.kind](message, `${key} ${message.seq}`);
    for await (const { content, buffers } of Symbol.asyncIterator in replies ? replies : [replies])
      reply(content, buffers);
  },
};

const ASKED = ["run", "explain", "neighbors", "vocabulary", "continue", "classify"];

self.onmessage = async ({ data: { key, name, message } }) => {
  /** @param {object} content  @param {Float32Array[]} [buffers]  @param {string} [to] */
  const reply = (content, buffers = [], to = key) => {
    const transfer = buffers.map(({ buffer }) => buffer);
    self.postMessage({ to, content, buffers }, { transfer });
  };
  try {
    const action = Object.hasOwn(actions, message.kind) ? actions[message.kind] : actions.ask;
    await action({ key, name, message, reply });
  } catch (error) {
    reply({ kind: "error", seq: message.seq, message: reason(error) });
  }
};
