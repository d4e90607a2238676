// The model's worker. In: `{id, method, argument}`, or `{cancel: id}`. Out: `{id, progress}`, then
// `{id, result}` or `{id, error}`. Calls are interleaved: a review need not wait for a file.
import { explain } from "./attribution.js";
import { Classifier, InvalidText } from "./classifier.js";
import { selfTest } from "./golden.js";

const PAUSE_MS = 40; // between two looks at new messages
const running = new Map(); // id → whether it goes on
let settings;
let loading; // a promise of the classifier
let pausedAt = 0;

const methods = {
  /** Load the model; all other calls wait for it. */
  async load(values, call) {
    settings = values;
    loading = Classifier.load(settings, call.progress);
    const { labels, unsureBelow } = await loading;
    return { labels, unsureBelow };
  },

  predict: async (text) => (await loading).predict(text),

  async explain(text, call) {
    const afterPass = (done, total) => pause(call, { done, total });
    return explain(await loading, text, afterPass);
  },

  async selfTest(_, call) {
    const afterPass = async () => {
      while (running.size > 1) await sleep(PAUSE_MS); // reviews come first
      await pause(call);
    };
    return selfTest(await loading, settings, afterPass);
  },

  /** A prediction for each text, or `{error}`. */
  async score(texts, call) {
    const classifier = await loading;
    const answers = [];
    for (const text of texts) {
      try {
        answers.push(await classifier.predict(text));
      } catch (error) {
        if (!(error instanceof InvalidText)) throw error;
        answers.push({ error: error.message });
      }
      await pause(call, { done: answers.length, total: texts.length });
    }
    return answers;
  },
};

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Let other messages in from time to time; throws if the call was cancelled. */
async function pause(call, progress) {
  if (performance.now() - pausedAt > PAUSE_MS) {
    await sleep(0);
    pausedAt = performance.now();
    if (progress) call.progress(progress);
  }
  if (!running.get(call.id)) throw new DOMException("Cancelled.", "AbortError");
}

self.onmessage = async ({ data: { id, method, argument, cancel } }) => {
  if (cancel !== undefined) {
    if (running.has(cancel)) running.set(cancel, false);
    return;
  }
  running.set(id, true);
  const call = { id, progress: (progress) => self.postMessage({ id, progress }) };
  try {
    self.postMessage({ id, result: await methods[method](argument, call) });
  } catch (error) {
    self.postMessage({ id, error: { name: error.name, message: error.message } });
  } finally {
    running.delete(id);
  }
};
