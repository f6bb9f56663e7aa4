/**
 * The timed side of page.py: a worker in which the book's engine and, where it is there,
 * onnxruntime-web read the same ids with the same weights, one thread each. Messages: {name, args}
 * in, {result} or {error} out.
 */

const ORT = "./ort/ort.wasm.min.mjs"; // there only where LLMBOOK_ORT names it

/**
 * What both engines are asked: to read ids after those already read, and to go back to a marked
 * place.
 */
class Ours {
  constructor(model) {
    this.model = model;
  }

  static async load({ config, weights, kind }) {
    const { readParameters } = await import("./widgets/engine/checkpoint.js");
    const { GPTModel, roomFor } = await import("./widgets/engine/gpt.js");
    const { plainKernel } = await import("./widgets/engine/kernel-plain.js");
    const { wasmKernel } = await import("./widgets/engine/kernel-wasm.js");
    const { numbers, pieces } = roomFor(config);
    const kernel = kind === "plain" ? plainKernel() : await wasmKernel(numbers, pieces);
    const parameters = await readParameters(config, new Blob([weights]), kernel.alloc);
    return new Ours(new GPTModel(config, parameters, kernel));
  }

  reset() {
    this.model.reset();
  }

  read(ids) {
    return this.model.forward(ids);
  }

  mark() {
    this.marked = this.model.length;
  }

  back() {
    this.model.length = this.marked;
  }
}

class Theirs {
  constructor(ort, session, config) {
    this.ort = ort;
    this.session = session;
    this.config = config;
  }

  static async load({ config, graph }) {
    const ort = await import(ORT);
    ort.env.wasm.numThreads = 1;
    const session = await ort.InferenceSession.create(new Uint8Array(graph), {
      executionProviders: ["wasm"],
    });
    const made = new Theirs(ort, session, config);
    made.reset();
    return made;
  }

  reset() {
    const { n_heads: H, emb_dim: C, n_layers } = this.config;
    const none = () => new this.ort.Tensor("float32", new Float32Array(0), [1, H, 0, C / H]);
    const names = Array.from({ length: n_layers }, (_, i) => [
      `past_key.${i}`,
      `past_value.${i}`,
    ]).flat();
    this.past = Object.fromEntries(names.map((name) => [name, none()]));
    this.length = 0;
  }

  async read(ids) {
    const tensor = (numbers) =>
      new this.ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), [1, numbers.length]);
    const positions = ids.map((_, i) => this.length + i);
    const { logits, ...present } = await this.session.run({
      ids: tensor(ids),
      positions: tensor(positions),
      ...this.past,
    });
    this.past = Object.fromEntries(
      Object.entries(present).map(([name, value]) => [name.replace("present", "past"), value]),
    );
    this.length += ids.length;
    return logits.data;
  }

  mark() {
    this.marked = { past: this.past, length: this.length };
  }

  back() {
    ({ past: this.past, length: this.length } = this.marked);
  }
}

/** @type {Map<string, any>} */
const sides = new Map();

const largest = (numbers) =>
  numbers.reduce((best, number, i) => (number > numbers[best] ? i : best), 0);

async function milliseconds(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Read ids one after the other, as in generation. */
async function readSingly(side, ids) {
  for (const id of ids) await side.read([id]);
}

/** All products of our matrices with n vectors, one after the other, and nothing else. */
function products({ model }, n) {
  const { kernel, blocks, head, hidden } = model;
  for (const { attention, feedForward } of blocks) {
    kernel.linear(attention.qkv, hidden, n, attention.project);
    kernel.linear(attention.context, hidden, n, attention.out);
    kernel.linear(feedForward.wide, hidden, n, feedForward.upProj);
    kernel.linear(attention.context, feedForward.wide, n, feedForward.downProj);
  }
  kernel.linear(model.logits, hidden, 1, head);
}

const tasks = {
  /** Make one engine ready; how long that takes from bytes in memory on. */
  async load({ side, ...given }) {
    const kind = side === "onnxruntime-web" ? Theirs : Ours;
    const bytes = given.files && (await (await fetch(given.files)).arrayBuffer());
    return milliseconds(async () =>
      sides.set(
        side,
        await kind.load(
          /** @type {any} */ ({ ...given, kind: side, weights: bytes, graph: bytes }),
        ),
      ),
    );
  },

  /**
   * The logits after ids that are read at once, and after all but the first that are read singly.
   */
  async logits({ side: name, ids }) {
    const side = sides.get(name);
    side.reset();
    const atOnce = Array.from(await side.read(ids));
    side.reset();
    await side.read(ids.slice(0, 1));
    await readSingly(side, ids.slice(1, -1));
    return [atOnce, Array.from(await side.read(ids.slice(-1)))];
  },

  /** The most probable continuation. */
  async greedy({ side: name, ids, n }) {
    const side = sides.get(name);
    side.reset();
    const found = [largest(await side.read(ids))];
    while (found.length < n) found.push(largest(await side.read(found.slice(-1))));
    return found;
  },

  /**
   * Milliseconds of each side for reading a prompt and for each of the tokens after `before`, in
   * turn.
   */
  async time({ names, prompt, before, tokens, runs }) {
    const times = Object.fromEntries(names.map((name) => [name, { prompt: [], token: [] }]));
    for (const name of names) {
      sides.get(name).reset();
      await sides.get(name).read(before);
      sides.get(name).mark();
    }
    for (let run = -3; run < runs; run += 1) {
      for (const name of names) {
        const side = sides.get(name);
        const token = (await milliseconds(() => readSingly(side, tokens))) / tokens.length;
        side.reset();
        const whole = await milliseconds(() => side.read(prompt));
        side.back();
        if (run < 0) continue; // warming up
        times[name].token.push(token);
        times[name].prompt.push(whole);
      }
    }
    return times;
  },

  /** Milliseconds of our parts alone, for n vectors and for one. */
  async parts({ side: name, n, runs }) {
    const side = sides.get(name);
    const { kernel, blocks } = side.model;
    const { wide, upProj } = blocks[0].feedForward;
    const times = { many: [], one: [], gelu: [] };
    for (let run = 0; run < runs; run += 1) {
      times.many.push(await milliseconds(() => products(side, n)));
      times.one.push((await milliseconds(() => repeat(10, () => products(side, 1)))) / 10);
      for (let i = 0; i < n * upProj.rows; i += 1) wide[i] = (i % 64) / 16 - 2;
      times.gelu.push(
        await milliseconds(() => repeat(blocks.length, () => kernel.gelu(wide, n * upProj.rows))),
      );
    }
    return times;
  },
};

function repeat(times, work) {
  for (let i = 0; i < times; i += 1) work();
}

self.onmessage = async ({ data: { name, args } }) => {
  try {
    self.postMessage({ result: await tasks[name](args) });
  } catch (error) {
    self.postMessage({ error: String(error?.stack ?? error) });
  }
};
