// Labels that are steps of a scale, such as stars. Mirrors space/inference/labels.py.

const STEP = /^(\d+(?:\.\d+)?)[\s_-]*(\p{L}\D*)$/u; // 4 stars, 4.5 stars, 1_star
const MIN_STEPS = 3;

/**
 * The scale of some labels: `values` (the number of each) and `unit` (such as "stars"). Null unless
 * all labels have a number of the same unit, in ascending order.
 */
export function scaleOf(labels) {
  const steps = labels.map((label) => STEP.exec(label.trim()));
  if (steps.length < MIN_STEPS || steps.includes(null)) return null;
  const values = steps.map((step) => Number(step[1]));
  const units = steps.map((step) => step[2].trim().toLowerCase());
  const isAscending = values.every((value, i) => i === 0 || value > values[i - 1]);
  if (!isAscending || new Set(units.map((unit) => unit.replace(/s+$/, ""))).size > 1) return null;
  return { values, unit: units.reduce((longest, unit) => unit.length > longest.length ? unit : longest) };
}

/** The mean of the labels' numbers, weighted by probability; null if they are no scale. */
export function expectedValue(probabilities) {
  const scale = scaleOf(Object.keys(probabilities));
  if (!scale) return null;
  return Object.values(probabilities).reduce((sum, p, i) => sum + p * scale.values[i], 0);
}

/** The probability of a label; of a scale, the place of the expected value on it, from 0 to 1. */
export function support(probabilities, label) {
  const scale = scaleOf(Object.keys(probabilities));
  if (!scale) return probabilities[label];
  const [lowest, highest] = [scale.values[0], scale.values.at(-1)];
  return Math.min(1, Math.max(0, (expectedValue(probabilities) - lowest) / (highest - lowest)));
}

/** Class of a value, with one decimal: below, above or in the middle of the scale. */
export function side(value, values) {
  const difference = Number(value.toFixed(1)) - (values[0] + values.at(-1)) / 2;
  return difference > 0 ? "for" : difference < 0 ? "against" : "unsure";
}

/** The color of a step as CSS variables: gray in the middle, a full color at the ends. */
export function stepStyle(value, values) {
  const middle = (values[0] + values.at(-1)) / 2;
  const distance = (value - middle) / (values.at(-1) - middle); // from -1 to 1
  const color = distance > 0 ? "for" : "against";
  return { "--side": `var(--${color})`, "--mix": `${Math.round(100 * Math.abs(distance))}%` };
}
