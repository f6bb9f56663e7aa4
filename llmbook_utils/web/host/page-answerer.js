/**
 * Answers a widget's requests on a page without a kernel, with the same messages that Python sends
 * in a notebook. Loaded at the first request. Tokens are made here; what needs a model goes to the
 * worker that all widgets of a page share.
 */
import { addressOf } from "./address.js";
import { readRanks, tokenize } from "../engine/bpe.js";

/** Where the site keeps what the widgets load. */
const FILES = new URL("../", import.meta.url);

/** @type {Map<string, Promise<import("../engine/bpe.js").Ranks>>} */
const loaded = new Map();

/** @param {string} source  a file of the site, or a data: URL */
async function load(source) {
  const response = await fetch(new URL(source, FILES));
  if (!response.ok)
    throw new Error(`${source} could not be loaded (${response.status}); is the page online?`);
  return readRanks(await response.arrayBuffer());
}

/** @param {string} source */
function ranksFrom(source) {
  const before = loaded.get(source);
  if (before) return before;
  const ranks = load(source);
  loaded.set(source, ranks);
  ranks.catch(() => loaded.delete(source)); // so that the next request tries again
  return ranks;
}

/** @type {Worker | null} */
let worker = null;
/** Who gets the worker's replies. @type {Map<number, Connection>} */
const connections = new Map();
/** What was last said of each published model. @type {Map<string, Record<string, any>>} */
const states = new Map();

function startWorker() {
  worker = new Worker(new URL("./live-worker.js", import.meta.url), { type: "module" });
  worker.onmessage = ({ data: { to, content, buffers } }) => {
    if (to !== "all") return connections.get(to)?.receive(content, buffers);
    states.set(content.name, content);
    for (const connection of connections.values())
      if (connection.name === content.name) connection.receive(content, buffers);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    worker = null; // the next request starts another
    states.clear();
    for (const connection of connections.values()) connection.fail(event.message);
  };
}

/** Whether an earlier page put a file into the browser's store. */
async function isKept(file) {
  try {
    return Boolean(await caches.match(addressOf(file)));
  } catch {
    return false; // a browser without a store
  }
}

/** What is answered on the page itself; the rest is for the worker. */
const HERE = ["tokenize", "status", "load", "adopt", "leave", "adapter"];

/** A widget's line to its answers. */
class Connection {
  static last = 0;

  /**
   * @param {(name: string) => any} get  reads the widget's state
   * @param {(content: object, buffers: any[]) => void} emit
   */
  constructor(get, emit) {
    this.key = Connection.last += 1;
    this.get = get;
    this.emit = emit;
    this.name = get("model")?.name;
    connections.set(this.key, this);
  }

  send(message) {
    if (HERE.includes(message.kind)) return this[message.kind](message);
    if (message.kind !== "drop") return this.forward(message);
    // the page's own
    return this.emit({ kind: "error", seq: message.seq, message: 'nothing answers "drop"' }, []);
  }

  async tokenize({ seq, text, encoding }) {
    try {
      const ranks = await ranksFrom(this.get("encodings")[encoding].ranks);
      this.emit({ kind: "tokenize", seq, ...tokenize(text, ranks) }, []);
    } catch (error) {
      this.emit({ kind: "error", seq, message: String(error?.message ?? error) }, []);
    }
  }

  /** What is there of the widget's model; `kept`: it can be had without a network. */
  async status({ seq }) {
    const { name, weights } = this.get("model");
    const kept = weights ? await isKept(weights) : false;
    this.emit({ kind: "status", state: "absent", name, kept, ...states.get(this.name), seq }, []);
  }

  load(message) {
    const published = this.get("model");
    if (published?.weights) return this.forward({ ...message, published });
    return this.emit(
      { kind: "error", seq: message.seq, message: "this page has no files of the widget's model" },
      [],
    );
  }

  /** Fetch an adapter that the page has for the widget's model. */
  adapter(message) {
    const published = this.get("adapters")?.[message.adapter];
    if (published) return this.forward({ ...message, published });
    const why = `this page has no files of the adapter ${JSON.stringify(message.adapter)}`;
    return this.emit({ kind: "error", seq: message.seq, message: why }, []);
  }

  /** A model of the reader's own, for this widget alone. */
  adopt(message) {
    this.candidate = `own-${this.key}-${message.seq}`;
    this.forward(message, this.candidate);
  }

  /** Back to the model that the page came with. */
  leave(message) {
    if (this.name !== this.get("model").name) this.forward({ kind: "drop" });
    this.name = this.get("model").name;
    this.status(message);
  }

  forward(message, name = this.name) {
    if (!worker) startWorker();
    worker?.postMessage({ key: this.key, name, message });
  }

  receive(content, buffers) {
    if (content.kind === "adopted") {
      if (this.name !== this.get("model").name) this.forward({ kind: "drop" });
      this.name = content.name;
    }
    this.emit(content, buffers);
  }

  fail(why) {
    this.emit(
      {
        kind: "status",
        state: "failed",
        name: this.get("model")?.name,
        message: why || "the model stopped working; try again",
      },
      [],
    );
  }
}

/** @param {(name: string) => any} get  @param {(content: object, buffers: any[]) => void} emit */
export const connect = (get, emit) => new Connection(get, emit);
