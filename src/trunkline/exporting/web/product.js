// An exported product in a page: product.json says what the network reads, the network gives probabilities, and the
// answer is decided here by the same rule as on the server. Nothing leaves the page.
import * as ort from "onnxruntime-web";
import { pixelsOf } from "./pictures.js";
import { RefusedError, readCell, readText } from "./cells.js";
import { tokenIds, wordIds } from "./words.js";

const ARRAYS = {
  float32: Float32Array, float64: Float64Array, int64: BigInt64Array, int32: Int32Array, int16: Int16Array,
  int8: Int8Array, uint8: Uint8Array, bool: Uint8Array,
};

/** The product in the folder at `url`, its network loaded. */
export async function open(url = ".") {
  const at = (name) => `${url}/${name}`;
  const needs = await (await got(at("product.json"))).json();
  const kept = {};
  for (const read of needs.reads) {
    if (read.holds === "words") kept[read.tensor] = wordsOf(await (await got(at(read.file))).text(), read);
    if (read.holds === "tokens") kept[read.tensor] = await tokenizerOf(await (await got(at(read.file))).json());
  }
  ort.env.wasm.numThreads = 1; // more need a page that is isolated from others
  const network = new Uint8Array(await (await got(at(needs.network.file))).arrayBuffer());
  const session = await ort.InferenceSession.create(network, { executionProviders: ["wasm"] });
  return new Product(needs, session, kept, async () => (await got(at(needs.check.file))).json());
}

class Product {
  #session; #kept; #examples; #before = Promise.resolve();

  constructor(needs, session, kept, examples) {
    this.needs = needs;
    this.#session = session;
    this.#kept = kept;
    this.#examples = examples;
  }

  /** The answer to a row {column: cell}: {status, label, scores}, {status, labels, scores} or {status, value, low, high};
   * {status: "error", error, message} for a row that can't be read. A picture is a Blob, or base64. */
  async predict(row) {
    try {
      return answerOf(this.needs, await this.#run(await this.inputsOf(row)));
    } catch (error) {
      if (error instanceof RefusedError) return { status: "error", error: error.code, message: error.message };
      throw error;
    }
  }

  /** What the network reads of a row: {tensor: {type, shape, data}}. Throws RefusedError. */
  async inputsOf(row) {
    const found = {};
    for (const read of this.needs.reads) {
      const [data, shape] = await this.#read(read, row);
      found[read.tensor] = { type: read.type, shape, data };
      if (read.holds === "tokens") found[read.mask] = { type: read.type, shape, data: data.map(() => 1) };
    }
    return found;
  }

  /** The example rows against the bundle's answers: {rows, largest, wrong}; wrong: what differs beyond the tolerance. */
  async check() {
    const examples = await this.#examples();
    let largest = 0;
    const wrong = [];
    for (const { row, answer } of examples) {
      const given = await this.predict(row);
      const far = distance(answer, given);
      largest = Math.max(largest, far);
      if (!(far <= this.needs.check.tolerance) || given.status !== answer.status || given.label !== answer.label) {
        wrong.push({ row, wanted: answer, given });
      }
    }
    return { rows: examples.length, largest, wrong };
  }

  async #read(read, row) {
    switch (read.holds) {
      case "words": {
        const ids = wordIds(readText(row[read.column]), read, this.#kept[read.tensor]);
        return [ids, [1, ids.length]];
      }
      case "tokens": {
        const ids = tokenIds(readText(row[read.column]), read, this.#kept[read.tensor]);
        return [ids, [1, ids.length]];
      }
      case "pixels":
        return [await pixelsOf(row[read.column], read.steps), [1, ...read.shape.slice(1)]];
      case "numbers":
        return [read.columns.map((column) => readCell(row[column.column], column, read)), [1, read.columns.length]];
      default:
        throw new Error(`this page can't make "${read.holds}"`);
    }
  }

  // One at a time: a session takes no second call while it works.
  #run(inputs) {
    const feed = {};
    for (const [name, { type, shape, data }] of Object.entries(inputs)) {
      const cells = type === "int64" ? Array.from(data, (cell) => BigInt(cell)) : data;
      feed[name] = new ort.Tensor(type, ARRAYS[type].from(cells), shape);
    }
    const turn = this.#before.then(() => this.#session.run(feed));
    this.#before = turn.catch(() => {});
    return turn;
  }
}

/** The tasks' `decode`: outputs of one row as an answer. */
function answerOf(needs, outputs) {
  const { labels, decision } = needs;
  const limit = decision.outside_above;
  const far = limit !== null && outputs.outside !== undefined && outputs.outside.data[0] > limit;
  if (needs.task === "regress") {
    const value = outputs.value.data[0];
    if (far) return { status: "out_of_scope", value: null, low: null, high: null };
    return { status: "ok", value, low: value - decision.residual, high: value + decision.residual };
  }
  const given = Array.from(outputs.probabilities.data);
  const scores = Object.fromEntries(labels.map((label, i) => [label, given[i]]));
  if (needs.task === "multilabel") {
    const said = labels.filter((_, i) => given[i] >= 0.5 && !far);
    return { status: far ? "out_of_scope" : "ok", labels: said, scores };
  }
  if (far) return { status: "out_of_scope", label: null, scores };
  const said = decision.costs.length ? leastCost(given, decision.costs) : given.indexOf(Math.max(...given));
  if (given[said] < decision.abstain_below) return { status: "abstained", label: null, scores };
  return { status: "ok", label: labels[said], scores };
}

function leastCost(given, costs) {
  const expected = given.map((_, said) => given.reduce((sum, share, i) => sum + share * costs[i][said], 0));
  return expected.indexOf(Math.min(...expected));
}

function distance(wanted, given) {
  if (wanted.scores && given.scores) {
    return Math.max(...Object.entries(wanted.scores).map(([label, score]) => Math.abs(score - given.scores[label])));
  }
  if (typeof wanted.value === "number" && typeof given.value === "number") {
    return Math.abs(wanted.value - given.value) / (1 + Math.abs(wanted.value));
  }
  return wanted.status === given.status ? 0 : Infinity;
}

// A page without a text trunk needs no tokenizer.
async function tokenizerOf(described) {
  const { Tokenizer } = await import("@huggingface/tokenizers");
  return new Tokenizer(described, {});
}

function wordsOf(text, read) {
  return new Map(text === "" ? [] : text.split("\n").map((word, i) => [word, read.first + i]));
}

async function got(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer;
}
