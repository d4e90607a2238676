// Why this prediction: the effect of each sentence of a review, and of the words in the strongest.
// Mirrors space/inference/attribution.py: occlusion, which removes one part at a time.
import initSentencex, { segment } from "./vendor/sentencex_wasm.js";
import { InvalidText } from "./classifier.js";
import { fetchUnpacked } from "./vendored.js";

const FULL_CONTEXT_CHARACTERS = 50_000; // in all passes over a review, each without one sentence
const WINDOW_CHARACTERS = 1_000; // about 250 tokens: the context of a sentence in a longer review
const MAX_PART_CHARACTERS = 500; // a longer sentence, or a text without a full stop, is split
const MAX_SENTENCES = 250; // more are merged with their neighbours
const SEGMENT_CHARACTERS = 2_000; // that are split into sentences at once
const STRONGEST = 2; // sentences whose words are attributed
const MAX_WORDS = 40; // of such a sentence
const BREAK = /<br\s*\/?>|[\r\n]+/gi;
const PIECE = new RegExp(
  `\\S(?:.{0,${MAX_PART_CHARACTERS - 2}}\\S)?(?!\\S)|\\S{1,${MAX_PART_CHARACTERS}}`, "gs",
);
const WORD = /[\p{L}\p{N}]+(?:['’-][\p{L}\p{N}]+)*/gu;

let sentencex; // loaded with the first explanation

/**
 * Classify a review and attribute the prediction to its parts.
 * @param classifier A `Classifier`.
 * @param text The review.
 * @param afterPass Awaited with `(done, total)` after each pass; may throw to cancel.
 * @returns `prediction`; `sentences` (empty if there is only one) and `words` (of the strongest
 *   sentences), each with `start`, `end` (exclusive), `attribution` (log-odds of the predicted label
 *   with the part minus those without it) and `probabilityWithout` (null if it can't be measured);
 *   `fullContext`: whether sentences were removed from the whole review; `strongest`: the index of
 *   the sentence with the largest effect, or -1.
 */
export async function explain(classifier, text, afterPass) {
  const prediction = await classifier.predict(text);
  sentencex ??= fetchUnpacked("sentencex_wasm_bg.wasm.gz").then((binary) =>
    initSentencex({ module_or_path: binary }));
  await sentencex;
  const spans = splitSentences(text);
  const fullContext = spans.length * text.length <= FULL_CONTEXT_CHARACTERS;
  const windows = fullContext ? [{ start: 0, end: text.length, spans }] : groupIntoWindows(spans);
  const passes = { done: 0, total: 0, after: afterPass };
  const attribute = (parts) => attributeWindows(classifier, text, prediction.label, parts, passes);
  const sentences = spans.length > 1 ? await attribute(windows) : [];
  const strongest = strongestOf(sentences).slice(0, STRONGEST);
  const wordSpans = strongest.map(({ start, end }) => [start, end]).sort((a, b) => a[0] - b[0]);
  const words = await attribute(
    (sentences.length ? wordSpans : spans).map((span) => wordWindow(text, ...span)));
  return {
    prediction, sentences, words, fullContext, strongest: sentences.indexOf(strongest[0]),
  };
}

/** Parts with the largest effect in either direction first. */
function strongestOf(parts) {
  return [...parts].sort((a, b) => Math.abs(b.attribution) - Math.abs(a.attribution));
}

/** Spans `[start, end)` of the sentences; long ones are split, and too many are merged. */
function splitSentences(text) {
  const spans = [];
  let start = 0;
  for (const lineBreak of [...text.matchAll(BREAK), null]) {
    const end = lineBreak ? lineBreak.index : text.length;
    for (const sentence of segments(text.slice(start, end))) {
      for (const piece of text.slice(start, start + sentence.length).matchAll(PIECE)) {
        spans.push([start + piece.index, start + piece.index + piece[0].length]);
      }
      start += sentence.length;
    }
    start = lineBreak ? end + lineBreak[0].length : end;
  }
  const size = Math.ceil(spans.length / MAX_SENTENCES) || 1;
  const groups = [];
  for (let i = 0; i < spans.length; i += size) groups.push(spans.slice(i, i + size));
  return groups.map((group) => [group[0][0], group.at(-1)[1]]);
}

/** The sentences of a text, a few thousand characters at a time: sentencex takes quadratic time. */
function* segments(text) {
  const plain = text.replace(/[\s\x1c-\x1f\x85]/g, " ");
  for (let start = 0; start < plain.length;) {
    const chunk = plain.slice(start, start + SEGMENT_CHARACTERS);
    let sentences = segment("en", chunk).filter(Boolean);
    if (!sentences.length) sentences = [chunk];
    if (start + chunk.length < plain.length) { // the last sentence may continue
      const whole = sentences.slice(0, -1);
      sentences = whole.length ? whole : [chunk.slice(0, chunk.lastIndexOf(" ") + 1) || chunk];
    }
    for (const sentence of sentences) {
      yield sentence;
      start += sentence.length;
    }
  }
}

/** Neighbours in windows of about `WINDOW_CHARACTERS` and at least two sentences. */
function groupIntoWindows(spans) {
  const groups = [[]];
  for (const span of spans) {
    const group = groups.at(-1);
    if (group.length > 1 && span[1] - group[0][0] > WINDOW_CHARACTERS) groups.push([span]);
    else group.push(span);
  }
  if (groups.length > 1 && groups.at(-1).length === 1) groups.at(-2).push(...groups.pop());
  return groups.map((group) => ({ start: group[0][0], end: group.at(-1)[1], spans: group }));
}

/** A sentence and its words; a long sentence is truncated. */
function wordWindow(text, start, end) {
  const last = Math.min(end, start + WINDOW_CHARACTERS);
  const words = [...text.slice(start, last).matchAll(WORD)].slice(0, MAX_WORDS);
  const spans = words.map((word) => [start + word.index, start + word.index + word[0].length]);
  return { start, end: last, spans };
}

/** The parts of all windows, in the order of the text. */
async function attributeWindows(classifier, text, label, windows, passes) {
  const parts = [];
  passes.total += windows.reduce((total, { spans }) => total + spans.length + 1, 0);
  const measure = async (variant) => {
    const probability = await probabilityOf(classifier, variant, label);
    await passes.after((passes.done += 1), passes.total);
    return probability;
  };
  for (const { start, end, spans } of windows) {
    const before = await measure(text.slice(start, end));
    for (const [a, b] of spans) {
      const without = await measure(text.slice(start, a) + text.slice(b, end));
      const measured = before !== null && without !== null;
      parts.push({
        start: a,
        end: b,
        attribution: measured ? logOdds(before) - logOdds(without) : 0,
        probabilityWithout: measured ? without : null,
      });
    }
  }
  return parts;
}

/** The label's probability for a text; null if nothing remains that can be classified. */
async function probabilityOf(classifier, text, label) {
  try {
    return (await classifier.predict(text)).probabilities[label];
  } catch (error) {
    if (error instanceof InvalidText) return null;
    throw error;
  }
}

function logOdds(probability) {
  const bounded = Math.min(Math.max(probability, 1e-6), 1 - 1e-6);
  return Math.log(bounded / (1 - bounded));
}
