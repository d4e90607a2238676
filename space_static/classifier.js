// The classifier: a text → probabilities, with a model of the Hub that the browser keeps.
// Mirrors space/inference/classifier.py and onnx_model.py; runs in a worker.
import {
  AutoModelForSequenceClassification, AutoTokenizer, Tensor, env,
} from "./vendor/transformers.min.js";
import { LanguageCheck } from "./languages.js";
import { fetchUnpacked } from "./vendored.js";
import { Vocabulary } from "./vocabulary.js";

export const MAX_CHARACTERS = 100_000;
const WORDLESS = "."; // a text without words
const MIN_EVIDENCE = 0.5; // log-odds by which a text must differ from it to lean towards a label
// WebGPU needs the larger build of ONNX Runtime.
const BUILDS = { wasm: "ort-wasm-simd-threaded", webgpu: "ort-wasm-simd-threaded.asyncify" };

/** The text can't be classified; the message is a sentence for the page. */
export class InvalidText extends Error {
  name = "InvalidText";
}

/**
 * A text classifier in memory.
 * `labels` are in the model's order; below `unsureBelow` (a probability) it abstains.
 */
export class Classifier {
  #languages;
  #wordless; // a promise

  constructor(tokenizer, model) {
    this.tokenizer = tokenizer;
    this.model = model;
    const { id2label, max_position_embeddings: positions, unsure_below: unsureBelow } = model.config;
    const { text_languages: languages, text_scripts: scripts } = model.config;
    this.#languages = new LanguageCheck(languages ?? [], scripts ?? []);
    this.labels = Object.keys(id2label).map((_, index) => id2label[index]);
    this.unsureBelow = unsureBelow ?? 0;
    this.maxTokens = Math.min(tokenizer.model_max_length ?? Infinity, positions ?? Infinity);
    this.inputNames = model.sessions.model.inputNames;
    this.special = this.encode("");
    this.vocabulary = new Vocabulary(tokenizer);
  }

  /**
   * Download (or take from the browser's cache) and load a model.
   * @param settings `model`, `revision`, `endpoint`, `dtype` ("q8" or "fp32"), `device`.
   * @param onProgress Called with `{loaded, total}` in bytes.
   */
  static async load({ model, revision, endpoint, dtype, device }, onProgress) {
    env.remoteHost = endpoint;
    // Not as an option only: transformers.js 4.3 asks for tokenizer_config.json of `main`, which
    // fails without a network.
    env.remotePathTemplate = `{model}/resolve/${revision}/`;
    env.useWasmCache = false; // the service worker keeps the page's own files
    const build = BUILDS[device];
    const { wasm } = env.backends.onnx;
    wasm.wasmPaths = { mjs: new URL(`vendor/${build}.mjs`, import.meta.url).href };
    // By default, ONNX Runtime would take one of two cores.
    if (self.crossOriginIsolated && navigator.hardwareConcurrency === 2) wasm.numThreads = 2;
    const files = new Map();
    const progress = ({ status, file, loaded, total }) => {
      if (status !== "progress") return;
      files.set(file, [loaded, total]);
      const sum = (index) => [...files.values()].reduce((bytes, pair) => bytes + pair[index], 0);
      onProgress({ loaded: sum(0), total: sum(1) });
    };
    const options = { revision, progress_callback: progress };
    const [tokenizer, binary] = await Promise.all([
      AutoTokenizer.from_pretrained(model, options), fetchUnpacked(`${build}.wasm.gz`),
    ]);
    wasm.wasmBinary = binary;
    const classifier = await AutoModelForSequenceClassification.from_pretrained(model, {
      ...options, dtype, device,
    });
    return new Classifier(tokenizer, classifier);
  }

  /** Token ids of a text, with [CLS] and [SEP]. */
  encode(text) {
    return this.tokenizer.encode(text);
  }

  /**
   * Classify one text.
   * @returns As `classify`, and `unreadable`: the first pieces that the model doesn't know, and
   *   `languageCaution`: a sentence if the text looks like a language that the model was not trained
   *   on, else null; it is unsure then.
   * @throws InvalidText if it has nothing that the model can read, or is too long.
   */
  async predict(text) {
    checkText(text);
    const ids = this.encode(text);
    if (!this.vocabulary.hasWords(ids)) throw new InvalidText(this.vocabulary.refusal(text));
    const prediction = await this.classify(ids);
    const unreadable = prediction.unknownTokens ? this.vocabulary.unreadable(text) : [];
    const languageCaution = this.#languages.caution(text);
    const unsure = prediction.unsure || languageCaution !== null;
    return { ...prediction, unsure, unreadable, languageCaution };
  }

  /** The probabilities for a text, by label; null if it has nothing that the model can read. */
  async probabilities(text) {
    const ids = this.encode(text);
    return this.vocabulary.hasWords(ids) ? (await this.classify(ids)).probabilities : null;
  }

  /**
   * Classify the tokens of a text. If there are too many, a quarter is taken from the beginning and
   * the others from the end, as in training.
   * @returns `label`, `probabilities` (by label), `tokensRead`, `tokens` and `unknownTokens`
   *   (without [CLS] and [SEP]), `unsure`, and `neutral`: unsure, and hardly more probable than for a
   *   text without words.
   */
  async classify(ids) {
    const unknownTokens = this.vocabulary.countUnknown(ids);
    const tokens = ids.length - this.special.length;
    if (ids.length > this.maxTokens) {
      const head = Math.floor(this.maxTokens / 4);
      ids = [...ids.slice(0, head), ...ids.slice(head - this.maxTokens)];
    }
    const probabilities = softmax(await this.logits(ids));
    if (!probabilities.every(Number.isFinite)) {
      throw new InvalidText("The model's score for this review is not a number.");
    }
    const best = probabilities.indexOf(Math.max(...probabilities));
    const label = this.labels[best];
    const unsure = probabilities[best] < this.unsureBelow;
    return {
      label,
      probabilities: this.byLabel(probabilities),
      tokensRead: ids.length - this.special.length,
      tokens,
      unknownTokens,
      unsure,
      neutral: unsure && (await this.#isNeutral(label, probabilities[best])),
    };
  }

  async #isNeutral(label, probability) {
    const wordless = (await this.wordless())[label];
    return logOdds(probability) - logOdds(wordless) < MIN_EVIDENCE;
  }

  /** The probabilities, by label, of a text without words. */
  wordless() {
    this.#wordless ??= this.logits(this.encode(WORDLESS)).then((logits) =>
      this.byLabel(softmax(logits)));
    return this.#wordless;
  }

  byLabel(probabilities) {
    return Object.fromEntries(this.labels.map((label, i) => [label, probabilities[i]]));
  }

  async logits(ids) {
    const tensor = (value) =>
      new Tensor("int64", BigInt64Array.from(ids, (id) => BigInt(value ?? id)), [1, ids.length]);
    const inputs = { input_ids: tensor(), attention_mask: tensor(1), token_type_ids: tensor(0) };
    const { logits } = await this.model(
      Object.fromEntries(this.inputNames.map((name) => [name, inputs[name]])),
    );
    return [...logits.data];
  }
}

function checkText(text) {
  if (!text.trim()) throw new InvalidText("Write or paste a review first.");
  if (text.length > MAX_CHARACTERS) {
    throw new InvalidText(
      `A review may have at most ${MAX_CHARACTERS.toLocaleString("en")} characters; this one has ` +
        `${text.length.toLocaleString("en")}.`,
    );
  }
}

/** `log(p / (1 - p))`, finite for 0 and 1. */
export function logOdds(probability) {
  const bounded = Math.min(Math.max(probability, 1e-6), 1 - 1e-6);
  return Math.log(bounded / (1 - bounded));
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const odds = logits.map((logit) => Math.exp(logit - largest));
  const sum = odds.reduce((total, value) => total + value, 0);
  return odds.map((value) => value / sum);
}
