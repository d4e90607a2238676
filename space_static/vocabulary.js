// What a model can read: which tokens of its vocabulary are words, and which it doesn't know.
// Mirrors space/inference/vocabulary.py.

// A vocabulary has single letters of many scripts, of which it can build any word but knows none. A
// script is read if this many tokens, or this share of the tokens with letters, are in it.
const MIN_SCRIPT_TOKENS = 1_000;
const MIN_SCRIPT_SHARE = 0.02;
const MAX_PIECES = 3; // that are named to the user
const MAX_PIECE_CHARACTERS = 20;
const [MARK, WORD, UNKNOWN] = [0, 1, 2];
export const OTHER_SCRIPT = "other"; // none of these:
const SCRIPT_NAMES = ["Latin", "Cyrillic", "Greek", "Han", "Hiragana", "Katakana", "Hangul", "Arabic",
  "Hebrew", "Devanagari", "Bengali", "Tamil", "Telugu", "Thai", "Georgian", "Armenian"];
const SCRIPTS = SCRIPT_NAMES.map((name) => [name, new RegExp(`\\p{Script=${name}}`, "u")]);
// Words, Chinese characters, and runs of symbols.
const PIECE =
  /\p{Script=Han}+|(?:(?!\p{Script=Han})[\p{L}\p{N}\p{M}])+|[^\s\p{L}\p{N}\p{P}\p{Z}]+/gu;

/** The kinds of a tokenizer's tokens: `MARK` for punctuation, `WORD`, or `UNKNOWN`. */
export class Vocabulary {
  #tokenizer;
  #kinds; // by token id
  #read; // the scripts that the model reads

  constructor(tokenizer) {
    this.#tokenizer = tokenizer;
    const texts = tokenTexts(tokenizer);
    const scripts = new Map([...texts].map(([id, text]) => [id, scriptsOf(text)]));
    const counts = new Map();
    for (const found of scripts.values()) {
      for (const script of found) counts.set(script, (counts.get(script) ?? 0) + 1);
    }
    const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
    const least = Math.min(MIN_SCRIPT_TOKENS, MIN_SCRIPT_SHARE * total);
    this.#read = new Set([...counts.keys()].filter((script) => counts.get(script) >= least));
    this.#kinds = new Uint8Array(Math.max(0, ...texts.keys()) + 1);
    for (const [id, text] of texts) {
      if (![...scripts.get(id)].every((script) => this.#read.has(script))) this.#kinds[id] = UNKNOWN;
      else if (![...text].every(isMark)) this.#kinds[id] = WORD;
    }
    for (const id of tokenizer.all_special_ids) {
      this.#kinds[id] = id === tokenizer.unk_token_id ? UNKNOWN : MARK;
    }
  }

  /** Whether the model can read any word of these tokens. */
  hasWords(ids) {
    return ids.some((id) => this.#kinds[id] === WORD);
  }

  /** The number of these tokens that stand for something that the model doesn't know. */
  countUnknown(ids) {
    return ids.filter((id) => this.#kinds[id] === UNKNOWN).length;
  }

  /** The first different pieces of a text that the model doesn't know, shortened. */
  unreadable(text) {
    const pieces = new Set();
    for (const [piece] of text.matchAll(PIECE)) {
      if (pieces.size === MAX_PIECES) break;
      if ([...piece].every(isMark)) continue;
      const ids = this.#tokenizer.encode(piece, { add_special_tokens: false });
      if (this.countUnknown(ids)) pieces.add([...piece].slice(0, MAX_PIECE_CHARACTERS).join(""));
    }
    return [...pieces];
  }

  /** Why a text without a word that the model can read has no prediction. */
  refusal(text) {
    const pieces = this.unreadable(text);
    if (!pieces.length) return "This review has no words.";
    const named = pieces.join("”, “");
    return `The model can't read this review: it doesn't know ${this.#describe(pieces)} (“${named}”).`;
  }

  /** What unreadable pieces are, in words: "Cyrillic letters", "emoji or symbols". */
  #describe(pieces) {
    const kinds = new Set();
    for (const character of pieces.join("")) {
      if (/\p{L}/u.test(character)) {
        const script = scriptOf(character);
        if (script === "Han") kinds.add("Chinese characters");
        else if (!this.#read.has(script)) kinds.add(`${script} letters`);
      } else if (!/\p{N}/u.test(character) && !isMark(character)) {
        kinds.add("emoji or symbols");
      }
    }
    return [...kinds].join(" and ") || "these words";
  }
}

/** By id, the text of each token; only what is not ASCII has to be decoded. */
function tokenTexts(tokenizer) {
  const options = { skip_special_tokens: false, clean_up_tokenization_spaces: false };
  const texts = [...tokenizer.get_vocab()].map(([token, id]) =>
    [id, isAscii(token) ? token : tokenizer.decode([id], options)]);
  return new Map(texts);
}

function scriptsOf(text) {
  if (isAscii(text)) return new Set(/[A-Za-z]/.test(text) ? ["Latin"] : []);
  return new Set([...text].filter((character) => /\p{L}/u.test(character)).map(scriptOf));
}

/** The script of a letter, by its Unicode name. */
export function scriptOf(letter) {
  return SCRIPTS.find(([, pattern]) => pattern.test(letter))?.[0] ?? OTHER_SCRIPT;
}

/** Whether a character is punctuation or a space. Emoji and incomplete bytes are words. */
function isMark(character) {
  return isAscii(character) ? !/[0-9A-Za-z]/.test(character) : /[\p{P}\p{Z}\p{M}]/u.test(character);
}

function isAscii(text) {
  return /^[\0-\x7f]*$/.test(text);
}
