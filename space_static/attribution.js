// Why this prediction: the effect of each sentence of a review, and of the words in the strongest.
// Mirrors space/inference/attribution.py: sentences are removed one at a time; words are added to
// the spans of words that they begin or end.
import initSentencex, { segment } from "./vendor/sentencex_wasm.js";
import { logOdds } from "./classifier.js";
import { support } from "./scale.js";
import { fetchUnpacked } from "./vendored.js";

const FULL_CONTEXT_CHARACTERS = 50_000; // in all passes over a review, each without one sentence
const WINDOW_CHARACTERS = 1_000; // about 250 tokens: the context of a sentence in a longer review
const MAX_PART_CHARACTERS = 500; // a longer sentence, or a text without a full stop, is split
const MAX_SENTENCES = 250; // more are merged with their neighbors
const SEGMENT_CHARACTERS = 2_000; // that are split into sentences at once
const STRONGEST = 2; // sentences whose words are attributed
const MAX_WORDS = 40; // of such a sentence
const BREAK = /<br\s*\/?>|[\r\n]+/gi;
const PIECE = new RegExp(
  `\\S(?:.{0,${MAX_PART_CHARACTERS - 2}}\\S)?(?!\\S)|\\S{1,${MAX_PART_CHARACTERS}}`, "gs",
);
const SPAN_WORDS = 4; // in the short spans of words that are read
const WORD = /[\p{L}\p{N}]+(?:['’-][\p{L}\p{N}]+)*/gu;

let sentencex; // loaded with the first explanation

/**
 * Classify a review and attribute the prediction to its parts.
 * @param classifier A `Classifier`.
 * @param text The review.
 * @param afterPass Awaited with `(done, total)` after each pass; may throw to cancel.
 * @returns `prediction`; `sentences` (empty if there is only one) and `words` (of the strongest
 *   sentences), each with `start`, `end` (exclusive), `attribution` (log-odds of the predicted label
 *   with the part minus those without it; of a scale, those of the expected value's place on it)
 *   and `probabilityWithout` (of a sentence; null if it can't be measured, and for words);
 *   `fullContext`: whether sentences were removed from the whole review; `strongest`: the index of
 *   the sentence with the largest effect, or -1.
 */
export async function explain(classifier, text, afterPass) {
  const prediction = await classifier.predict(text);
  await loadSentencex();
  const spans = splitSentences(text);
  const fullContext = spans.length * text.length <= FULL_CONTEXT_CHARACTERS;
  const windows = fullContext ? [{ start: 0, end: text.length, spans }] : groupIntoWindows(spans);
  const passes = { done: 0, total: expectedWordPasses(text, spans), after: afterPass };
  const label = prediction.label;
  const sentences =
    spans.length > 1 ? await attributeWindows(classifier, text, label, windows, passes) : [];
  const strongest = strongestOf(sentences).slice(0, STRONGEST);
  const wordSpans = strongest.map(({ start, end }) => [start, end]).sort((a, b) => a[0] - b[0]);
  const ofWords = sentences.length ? wordSpans : spans;
  const words = await attributeWords(classifier, text, ofWords, label, passes);
  return {
    prediction, sentences, words, fullContext, strongest: sentences.indexOf(strongest[0]),
  };
}

async function loadSentencex() {
  sentencex ??= fetchUnpacked("sentencex_wasm_bg.wasm.gz").then((binary) =>
    initSentencex({ module_or_path: binary }));
  try {
    await sentencex;
  } catch (error) {
    sentencex = undefined; // the next review tries again
    throw error;
  }
}

/** The passes for the words of `STRONGEST` sentences of mean length: which ones is not known yet. */
function expectedWordPasses(text, spans) {
  if (!spans.length) return 0;
  const passes = spans.map((span) => wordSpansOf(wordsOf(text, span).length).length);
  return Math.round(mean(passes) * Math.min(STRONGEST, spans.length));
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

/** The parts of all windows, in the order of the text. */
async function attributeWindows(classifier, text, label, windows, passes) {
  const parts = [];
  passes.total += windows.reduce((total, { spans }) => total + spans.length + 1, 0);
  const measure = async (variant) => {
    const probabilities = await classifier.probabilities(variant);
    await passes.after((passes.done += 1), passes.total);
    return probabilities;
  };
  const evidence = (probabilities) => logOdds(support(probabilities, label));
  for (const { start, end, spans } of windows) {
    const before = await measure(text.slice(start, end));
    for (const [a, b] of spans) {
      const without = await measure(text.slice(start, a) + text.slice(b, end));
      const measured = before !== null && without !== null;
      parts.push({
        start: a,
        end: b,
        attribution: measured ? evidence(before) - evidence(without) : 0,
        probabilityWithout: measured ? without[label] : null,
      });
    }
  }
  return parts;
}

/**
 * The effect of each word of some sentences, each sentence read alone: the mean over spans that begin
 * or end with the word of the log-odds with it minus those without it. Half of the weight have short
 * spans, half those that reach to the other end of the sentence.
 */
async function attributeWords(classifier, text, sentences, label, passes) {
  const evidence = (probabilities) => logOdds(support(probabilities, label));
  const wordless = evidence(await classifier.wordless());
  const sentenceWords = sentences.map((sentence) => wordsOf(text, sentence));
  passes.total = passes.done;
  for (const words of sentenceWords) passes.total += wordSpansOf(words.length).length;
  const parts = [];
  for (const words of sentenceWords) {
    const count = words.length;
    const values = new Map();
    for (const [first, end] of wordSpansOf(count)) {
      const span = text.slice(words[first][0], words[end - 1][1]);
      const probabilities = await classifier.probabilities(span);
      values.set(`${first} ${end}`, probabilities === null ? wordless : evidence(probabilities));
      await passes.after((passes.done += 1), passes.total);
    }
    const value = (first, end) => (first === end ? wordless : values.get(`${first} ${end}`));
    for (const [i, [start, end]] of words.entries()) {
      const begun = [];
      const ended = [];
      for (let length = 1; length <= SPAN_WORDS; length += 1) {
        if (i + length <= count) begun.push(value(i, i + length) - value(i + 1, i + length));
        const first = i + 1 - length;
        if (first >= 0) ended.push(value(first, i + 1) - value(first, i));
      }
      const toEnds = value(i, count) - value(i + 1, count) + value(0, i + 1) - value(0, i);
      const attribution = (mean(begun) + mean(ended) + toEnds) / 4;
      parts.push({ start, end, attribution, probabilityWithout: null });
    }
  }
  return parts;
}

/** The first `MAX_WORDS` words of a sentence, as spans of the text. */
function wordsOf(text, [start, end]) {
  return [...text.slice(start, end).matchAll(WORD)].slice(0, MAX_WORDS).map((word) =>
    [start + word.index, start + word.index + word[0].length]);
}

/** The spans of words that are read: the short ones, and those from or to an end. */
function wordSpansOf(count) {
  const spans = [];
  for (let first = 0; first < count; first += 1) {
    for (let end = first + 1; end <= count; end += 1) {
      if (end - first <= SPAN_WORDS || first === 0 || end === count) spans.push([first, end]);
    }
  }
  return spans;
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
