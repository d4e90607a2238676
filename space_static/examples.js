// Example reviews: of each kind, one that the loaded model predicts right. Mirrors
// space/examples.py; the reviews are in examples.json.
import { scaleOf, side } from "./scale.js";

const SYNONYMS = {
  positive: ["positive", "pos", "p", "praise", "good", "fresh", "true", "yes", "+"],
  negative: ["negative", "neg", "n", "blame", "bad", "rotten", "false", "no", "-"],
  neutral: ["neutral", "neu", "mixed"],
};

/**
 * Yield each kind and its example, once it is found.
 * @param candidates By kind, pairs of a review and its sentiment, in order of preference.
 * @param labels The model's.
 * @param predict Resolves to the prediction for a review.
 */
export async function* selectExamples(candidates, labels, predict) {
  const known = sentiments(labels);
  for (const [kind, reviews] of Object.entries(candidates)) {
    let example = null; // a review of which the model is not sure, until a better one is found
    for (const [text, sentiment] of reviews) {
      const prediction = await predict(text);
      if (known.size && !isRight(prediction, known.get(prediction.label), sentiment)) continue;
      example ??= text;
      if (!prediction.unsure || kind === "Mixed") {
        example = text;
        break;
      }
    }
    if (example !== null) yield [kind, example];
  }
}

function isRight(prediction, predicted, sentiment) {
  if (sentiment === "mixed") return prediction.unsure || predicted === "neutral";
  return predicted === sentiment;
}

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
