/**
 * Answers the widgets' requests to a model: the same messages as llmbook_utils/widgets/live.py
 * sends in a notebook. What they hold is written down in llmbook_utils/widgets/protocol.json. A
 * reply is {content, buffers}: the tensors that the content names, in order.
 *
 * @typedef {{content: Record<string, any>, buffers: Float32Array[]}} Reply
 */
import { Adapters } from "./adapter.js";
import { encode } from "./bpe.js";
import { explain } from "./explain.js";
import { dot, linear } from "./kernel-plain.js";
import { LIMIT } from "./limit.js";
import {
  byProbability,
  draw,
  nextTokenProbabilities,
  softmaxOf,
  uniformNumbers,
} from "./sampling.js";
import { normalize, strip } from "./text.js";
import { Trace } from "./trace.js";

const NO_TEXT = "there is no text: type a word or more";

/** A turn for other messages to arrive in, without the wait that timers have. */
const turn = () =>
  /** @type {Promise<void>} */
  (
    new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(0);
    })
  );

const done = (seq, why) => ({ content: { kind: "done", seq, why }, buffers: [] });

export class LiveModel {
  /**
   * @param {import("./gpt.js").GPTModel} model
   * @param {{ranks: import("./bpe.js").Ranks, special: Map<string, number>}} tokenizer
   * @param {{normalized: boolean}} options  whether texts are normalized before they are read
   */
  constructor(model, { ranks, special }, { normalized }) {
    this.model = model;
    this.ranks = ranks;
    this.normalized = normalized;
    this.adapters = new Adapters(model.parameters);
    this.stopped = new Set();
    this.cached = null; // cached: the stream whose tokens the cache holds
    /** @type {Map<number, number[]>} the bytes of each token */
    this.bytes = new Map(
      [...ranks].map(([name, id]) => [
        id,
        Array.from(name, (character) => character.charCodeAt(0)),
      ]),
    );
    for (const [name, id] of special) this.bytes.set(id, [...new TextEncoder().encode(name)]);
    this.end = special.get("<|endoftext|>") ?? null;
  }

  /**
   * The ids of a request, of which a model reads the last ones. The adapter that it names is in the
   * weights from here on; without one, none.
   * @param {any} request
   */
  read({ text, ids, adapter = null, options = {} }) {
    const { context_length: limit, vocab_size } = this.model.config;
    if (ids) {
      const strange = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < vocab_size));
      if (strange !== undefined)
        throw new Error(`id ${strange} is not in the vocabulary of ${vocab_size}`);
    }
    const characters = [...(text ?? "")];
    const last = characters
      .slice(-LIMIT)
      .join("")
      .replace(/\p{Surrogate}/gu, "\uFFFD");
    const plain = this.normalized ? normalize(last) : last;
    const all = ids ?? encode(plain, this.ranks);
    if (!all.length) throw new Error(NO_TEXT);
    const kept = all.slice(-Math.min(options.most ?? limit, limit));
    this.#wear(adapter);
    return {
      ids: kept,
      about: {
        tokens: kept.map((id) => this.token(id)),
        cut: kept.length < all.length || characters.length > LIMIT,
        normalized: plain !== last,
      },
    };
  }

  /** Swap the adapter in the weights; what was read with another is forgotten. */
  #wear(name) {
    if (this.adapters.wear(name)) this.cached = null;
  }

  token(id) {
    return { id, bytes: this.bytes.get(id) ?? [] };
  }

  /** The `n` most probable tokens. */
  #candidates(probabilities, n) {
    return byProbability(probabilities)
      .slice(0, n)
      .map((id) => ({ ...this.token(id), probability: probabilities[id] }));
  }

  /**
   * With `options.top`, which needs "logits.last" among the wanted, also the most probable next
   * tokens.
   * @returns {Reply}
   */
  run(message) {
    const { ids, about } = this.read(message);
    const trace = new Trace(message.want, message.changes);
    this.model.trace(ids, trace);
    trace.checkApplied();
    const tensors = [...trace.tensors.values()];
    /** @type {Record<string, any>} */
    const content = {
      kind: "run",
      seq: message.seq,
      ...about,
      tensors: tensors.map(({ name, shape }) => ({ name, shape })),
    };
    const { top = 0 } = message.options ?? {};
    const logits = trace.tensors.get("logits.last");
    if (top && logits) content.top = this.#candidates(softmaxOf(logits.data), top);
    return { content, buffers: tensors.map(({ data }) => data) };
  }

  /** @returns {Reply} */
  explain(message) {
    const { ids, about } = this.read(message);
    const { tensor, index } = message;
    const { arrays, ...found } = explain(this.model, ids, message.changes, tensor, index);
    const tensors = Object.entries(arrays).map(([name, data]) => ({ name, shape: [data.length] }));
    return {
      content: { kind: "explain", seq: message.seq, ...about, tensor, index, ...found, tensors },
      buffers: Object.values(arrays),
    };
  }

  /** The tokens whose embeddings point most nearly where the last one's does. @returns {Reply} */
  neighbors(message) {
    const { ids, about } = this.read(message);
    const { emb_dim: C, vocab_size: V } = this.model.config;
    const { tokens: table } = this.model;
    const product = (a, b) => dot(table, a * C, table, b * C, C);
    const itself = ids.at(-1);
    const squares = product(itself, itself);
    const cosine = (id) => product(id, itself) / Math.sqrt(product(id, id) * squares || 1);
    const alike = Float64Array.from({ length: V }, (_, id) =>
      id === itself ? -Infinity : cosine(id),
    );
    const best = byProbability(alike).slice(0, Math.min(message.options?.n ?? 10, V - 1));
    const vectors = new Float32Array(best.length * C);
    best.forEach((id, i) => vectors.set(table.subarray(id * C, id * C + C), i * C));
    const neighbors = best.map((id) => ({ ...this.token(id), similarity: alike[id] }));
    const tensors = [{ name: "vectors", shape: [best.length, C] }];
    return {
      content: { kind: "neighbors", seq: message.seq, ...about, neighbors, tensors },
      buffers: [vectors],
    };
  }

  /**
   * What the head of an adapter says of a text, and of others like it: logits (1 + n, classes).
   * Read are the first tokens of each, without white space around it, as in classify.py.
   * @param {any} request
   * @returns {Reply}
   */
  classify({ seq, text, variants = [], adapter, options = {} }) {
    const { head } = this.adapters.get(adapter);
    if (!head) throw new Error(`the adapter ${JSON.stringify(adapter)} has no head for classes`);
    const most = Math.min(options.most ?? Infinity, this.model.config.context_length);
    const rows = [text, ...variants].map((each) => this.#readFirst(each, most));
    this.#wear(adapter);
    this.cached = null; // the model forgets what it read
    const logits = new Float32Array(rows.length * head.rows);
    const out = new Float32Array(head.rows);
    rows.forEach(({ ids }, i) => {
      linear(out, this.model.lastVector(ids), 1, head);
      logits.set(out, i * head.rows);
    });
    const tensors = [{ name: "logits", shape: [rows.length, head.rows] }];
    const content = { kind: "classify", seq, ...rows[0].about, adapter, tensors };
    return { content, buffers: [logits] };
  }

  #readFirst(text, most) {
    const characters = [...text];
    const first = characters
      .slice(0, LIMIT)
      .join("")
      .replace(/\p{Surrogate}/gu, "\uFFFD");
    const all = encode(strip(first), this.ranks);
    if (!all.length) throw new Error(NO_TEXT);
    const ids = all.slice(0, most);
    const cut = ids.length < all.length || characters.length > LIMIT;
    return { ids, about: { tokens: ids.map((id) => this.token(id)), cut, normalized: false } };
  }

  /** The bytes of every id, one after the other, and how many each has. @returns {Reply} */
  vocabulary(message) {
    const { vocab_size } = this.model.config;
    const bytes = Array.from({ length: vocab_size }, (_, id) => this.bytes.get(id) ?? []);
    const content = {
      kind: "vocabulary",
      seq: message.seq,
      lengths: bytes.map(({ length }) => length),
      bytes: bytes.flat(),
      end: this.end,
    };
    return { content, buffers: [] };
  }

  /**
   * Token after token, each with the most probable ones beside it.
   * @param {string} stream  a name for what `stop` can stop
   * @returns {AsyncGenerator<Reply>}
   */
  async *continue(message, stream) {
    const { seq, options = {} } = message;
    const { max_new_tokens = 60, seed = 0, alternatives = 0, ...sampling } = options;
    const { ids, about } = this.read(message);
    // a wrong option ends it here, before the first reply
    nextTokenProbabilities([0], [], sampling);
    yield { content: { kind: "started", seq, ...about }, buffers: [] };
    const next = uniformNumbers(seed);
    for (let step = 0; step < max_new_tokens; step += 1) {
      this.#wear(message.adapter ?? null); // other requests were answered meanwhile
      const logits = this.#logitsAfter(ids, stream);
      const probabilities = nextTokenProbabilities(logits, ids, sampling);
      const plain = softmaxOf(logits);
      const id = draw(probabilities, next());
      const describe = (other) => ({
        ...this.token(other),
        probability: probabilities[other],
        plain: plain[other],
      });
      // among equals, such as all that are cut off, the ones that the model itself finds likelier
      const likely = alternatives
        ? byProbability(plain).sort((a, b) => probabilities[b] - probabilities[a])
        : [];
      const others = likely.slice(0, alternatives).map(describe);
      yield {
        content: { kind: "token", seq, step, ...describe(id), alternatives: others },
        buffers: [],
      };
      if (id === this.end) return yield done(seq, "end");
      ids.push(id);
      await turn();
      if (this.stopped.delete(stream)) return yield done(seq, "stopped");
    }
    yield done(seq, "length");
  }

  /**
   * Read the ids that the cache does not hold: all of them after another stream's turn, and past
   * the limit.
   */
  #logitsAfter(ids, stream) {
    const { context_length: limit } = this.model.config;
    if (this.cached === stream && this.model.length < limit)
      return this.model.forward(ids.slice(-1));
    this.model.reset();
    this.cached = stream;
    return this.model.forward(ids.slice(-limit));
  }

  /** @param {string} stream */
  stop(stream) {
    this.stopped.add(stream);
  }
}
