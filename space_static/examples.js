// Example reviews: of each kind, one that the loaded model predicts right. Mirrors
// space/examples.py; the reviews are in examples.json.
import { sentiments } from "./labels.js";

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
