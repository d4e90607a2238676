// The self-test: are the scores of the golden reviews here those that were published?
// `golden-scores.json` lies beside the model; train/publishing/golden_scores.py writes it.

// Of a probability; the limit that `export` sets for int8 too. Rounding differs between processors,
// and int8 turns a difference of 1e-7 in an activation into up to 2e-3 in a probability.
export const MAX_DIFFERENCE = 0.01;
const CACHE = "golden-scores";

/**
 * Score the golden reviews of a model.
 * @param classifier A `Classifier`.
 * @param settings `model`, `revision` and `endpoint`.
 * @param afterPass Awaited after each review.
 * @returns `scores` (an array of probabilities for each review), `difference` (the largest from the
 *   published ones) and `seconds`; null if the model has no golden scores.
 */
export async function selfTest(classifier, { model, revision, endpoint }, afterPass) {
  const golden = await fetchOnce(`${endpoint}/${model}/resolve/${revision}/golden-scores.json`);
  if (golden === null) return null;
  const started = performance.now();
  const scores = [];
  for (const { text } of golden.reviews) {
    const { probabilities } = await classifier.predict(text);
    scores.push(classifier.labels.map((label) => probabilities[label]));
    await afterPass();
  }
  const expected = golden.reviews.map(({ probabilities }) =>
    classifier.labels.map((label) => probabilities[label]));
  return {
    scores,
    difference: largestDifference(scores, expected),
    seconds: (performance.now() - started) / 1000,
  };
}

/** The largest difference between two arrays of probabilities; Infinity if their shapes differ. */
export function largestDifference(scores, others) {
  const [flat, other] = [scores.flat(), others.flat()];
  if (flat.length !== other.length) return Infinity;
  const differences = flat.map((value, i) => Math.abs(value - other[i]));
  return differences.every(Number.isFinite) ? Math.max(0, ...differences) : Infinity;
}

/** JSON from a URL whose content never changes, kept for offline use; null if it is missing. */
async function fetchOnce(url) {
  const cache = await caches.open(CACHE);
  let response = await cache.match(url);
  if (!response) {
    response = await fetch(url);
    if (response.status === 404) return null;
    if (!response.ok) throw new Error(`${url} can't be read: status ${response.status}.`);
    await cache.put(url, response.clone());
  }
  return response.json();
}
