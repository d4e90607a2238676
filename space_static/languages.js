// Whether a text is in a language that the model was trained on. Mirrors
// space/inference/languages.py with a smaller detector: eld, which scores 60 languages.
import { ngramsData } from "./vendor/extrasmall.js";
import { createEld } from "./vendor/languageDetector.js";
import { OTHER_SCRIPT, scriptOf } from "./vocabulary.js";

const MAX_CHARACTERS = 500; // of a text; more change no answer
const MIN_LETTERS = 12; // a shorter text could be in many languages
const MAX_SCORE = 0.8; // of all languages of the training texts, relative to the best language
// Languages that readers of another one read, or that the detector doesn't tell apart.
const RELATED = { nb: ["no", "da"], nn: ["no", "da"], no: ["da"] };
const TAG = /<[^<>]*>/g;
const NAME = /^\p{Lu}.*\p{Ll}/u;
const { instance: detector, loadData } = createEld();
loadData(ngramsData);
const KNOWN = new Set(Object.values(ngramsData.languages));
const NAMES = new Intl.DisplayNames(["en"], { type: "language" });

/** Detects texts in other languages and scripts than those of the training texts. */
export class LanguageCheck {
  #scripts;
  #own; // codes; empty if the detector doesn't know all languages of the training texts
  #trained;

  /** @param languages Codes. @param scripts Unicode names, such as Latin. */
  constructor(languages, scripts) {
    const withRelated = (code) => [code, ...(RELATED[code] ?? [])];
    const isKnown = (code) => withRelated(code).some((related) => KNOWN.has(related));
    const known = languages.every(isKnown) ? languages : [];
    this.#scripts = new Set(scripts);
    this.#own = known.flatMap(withRelated);
    const names = known.map((code) => NAMES.of(code)).join(", ");
    this.#trained = `The model was trained on ${names || "other scripts"}`;
  }

  /** Why the model may not be able to read a text, in a sentence for the page; else null. */
  caution(text) {
    const sample = text.slice(0, MAX_CHARACTERS).replace(TAG, " ");
    return this.#foreignScript(sample) ?? this.#foreignLanguage(sample);
  }

  #foreignScript(sample) {
    if (!this.#scripts.size) return null;
    const letters = [...sample].filter((character) => /\p{L}/u.test(character));
    const counts = new Map();
    for (const script of letters.map(scriptOf)) counts.set(script, (counts.get(script) ?? 0) + 1);
    const foreign = [...counts].filter(([script]) =>
      script !== OTHER_SCRIPT && !this.#scripts.has(script));
    if (2 * foreign.reduce((sum, [, count]) => sum + count, 0) <= letters.length) return null;
    const [[script]] = foreign.sort((one, other) => other[1] - one[1]);
    const kind = script === "Han" ? "Chinese characters" : `${script} letters`;
    return `${this.#trained}, and this text is mostly in ${kind}.`;
  }

  #foreignLanguage(sample) {
    const words = sample.match(/\p{L}+/gu) ?? [];
    if (!this.#own.length || words.join("").length < MIN_LETTERS || areMostlyNames(words)) return null;
    const result = detector.detect(sample);
    if (!result.isReliable()) return null;
    const scores = result.getScores();
    const own = Math.max(...this.#own.map((code) => scores[code] ?? 0));
    if (own > MAX_SCORE * scores[result.language]) return null;
    return `${this.#trained}, and this text looks like ${NAMES.of(result.language)}.`;
  }
}

/** Whether most letters are in words like names, which may look like any language. */
function areMostlyNames(words) {
  return 2 * words.filter((word) => NAME.test(word)).join("").length > words.join("").length;
}
