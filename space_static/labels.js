// What the names of labels say about their sentiment. Mirrors space/inference/labels.py.
import { scaleOf, side } from "./scale.js";

const SYNONYMS = {
  positive: ["positive", "pos", "p", "praise", "good", "fresh", "true", "yes", "+"],
  negative: ["negative", "neg", "n", "blame", "bad", "rotten", "false", "no", "-"],
  neutral: ["neutral", "neu", "mixed"],
};

/**
 * The sentiment of each label whose name tells it. Of a scale, such as stars, those below the middle
 * are negative and those above it positive; of other numbers, the lowest and the highest.
 */
export function sentiments(labels) {
  const scale = scaleOf(labels);
  if (scale) {
    const names = { against: "negative", unsure: "neutral", for: "positive" };
    return new Map(labels.map((label, i) => [label, names[side(scale.values[i], scale.values)]]));
  }
  const numbers = labels.map((label) => parseInt(label, 10));
  if (numbers.every(Number.isInteger)) {
    const [fewest, most] = [Math.min(...numbers), Math.max(...numbers)];
    return new Map([
      [labels[numbers.indexOf(fewest)], "negative"], [labels[numbers.indexOf(most)], "positive"],
    ]);
  }
  const words = new Map(Object.entries(SYNONYMS).flatMap(([sentiment, names]) =>
    names.map((word) => [word, sentiment])));
  return new Map(labels.map((label) => [label, words.get(label.toLowerCase().split(/[\s_-]+/).at(-1))])
    .filter(([, sentiment]) => sentiment));
}

/**
 * For each label 1 if it is positive, -1 if it is negative, 0 if it is neither. Where the names don't
 * tell it, the first label is negative and the last one positive.
 */
export function sides(labels) {
  const signs = { positive: 1, neutral: 0, negative: -1 };
  let known = new Map([...sentiments(labels)].map(([label, sentiment]) => [label, signs[sentiment]]));
  if (labels.length === 2 && known.size === 1) {
    const [sign] = known.values(); // such as positive and other
    return new Map(labels.map((label) => [label, known.get(label) ?? -sign]));
  }
  if (![...known.values()].some(Boolean)) known = new Map([[labels[0], -1], [labels.at(-1), 1]]);
  return new Map(labels.map((label) => [label, known.get(label) ?? 0]));
}

/** The labels from negative over neutral to positive; see `sides`. */
export function inOrder(labels) {
  const signs = sides(labels);
  const isDescending = signs.get(labels[0]) > signs.get(labels.at(-1));
  const ascending = isDescending ? [...labels].reverse() : [...labels];
  return ascending.sort((a, b) => signs.get(a) - signs.get(b));
}
