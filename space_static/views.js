// Elements of predictions, tables and messages; the classes are those of style.css.
// Mirrors the package space/views. Texts of users only ever become text nodes.

import { inOrder, sides } from "./labels.js";
import { expectedValue, scaleOf, side, stepStyle } from "./scale.js";

const MAX_CELL_CHARACTERS = 160;
const LONG_CHARACTERS = 40; // of a cell that needs a wide column
const STYLES = new Set(["width", "left", "flex-grow"]);

/**
 * An element.
 * @param tag Its name, with classes: "p.small".
 * @param attributes By name; `null` leaves one out. `STYLES` and variables are set as a style, which the content
 *   security policy allows from scripts only.
 */
export function element(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  made.classList.add(...classes);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null) continue;
    if (STYLES.has(key) || key.startsWith("--")) made.style.setProperty(key, value);
    else if (key.startsWith("on")) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A message in place of a result; `kind` is "problem" or "remark". */
export function sentence(message, kind = "problem") {
  return element(`p.${kind}`, { role: "status" }, String(message));
}

/** The predicted label, its probability, and what of the review the model read. */
export function predictionCard(prediction, unsureBelow) {
  const { label, unsure } = prediction;
  const heading = unsure && !scaleOfPrediction(prediction)
    ? shortPrediction(prediction, unsureBelow) : verdict(prediction);
  return element("section.prediction", { role: "status", "aria-label": "Prediction" },
    element(`p.label.${unsure ? "unsure" : color(prediction, label)}`, {}, heading),
    prediction.languageCaution
      ? element("p.problem", {}, `${prediction.languageCaution} Do not rely on this prediction.`) : null,
    element("p.probability", {}, probabilityOf(prediction, unsureBelow)),
    scale(prediction, unsureBelow),
    threshold(prediction, unsureBelow),
    element("p.small", {}, tokensRead(prediction)),
    unknown(prediction));
}

/**
 * The predicted label, or uncertain with what the model leans to. Of a scale such as stars, the
 * expected value: "4.2 stars", "Uncertain, about 3.1 stars".
 */
export function verdict(prediction) {
  const { label, probabilities, unsure, neutral } = prediction;
  if (neutral) return "Uncertain, no leaning";
  const steps = scaleOfPrediction(prediction);
  if (steps) {
    const shown = `${expectedValue(probabilities).toFixed(1)} ${steps.unit}`;
    return unsure ? `Uncertain, about ${shown}` : shown;
  }
  return unsure ? `Uncertain, leaning ${name(label).toLowerCase()}` : name(label);
}

function shortPrediction(prediction, unsureBelow) {
  if (prediction.neutral) return verdict(prediction);
  const shown = percentBeside(prediction.probabilities[prediction.label], unsureBelow);
  return `${verdict(prediction)} (${shown})`;
}

/** The steps that the labels count; null if they are no scale. */
export function scaleOfPrediction(prediction) {
  return scaleOf(Object.keys(prediction.probabilities));
}

/** A progress bar with the remaining time, estimated from the seconds so far. */
export function progress(message, done, total, seconds = null) {
  const remaining = seconds && done ? Math.ceil((seconds / done) * (total - done)) : null;
  const estimate = remaining === null ? "" : `, about ${count(remaining)} s left`;
  return element("div", {},
    element("p", {}, `${message}${estimate}`),
    element("div.progress", { role: "progressbar", "aria-label": message, "aria-valuemin": 0,
      "aria-valuemax": 100, "aria-valuenow": Math.round((100 * done) / total || 0) },
    element("b", { width: `${(100 * done) / total || 0}%` })));
}

/** Numbers in large type, each with its description. */
export function figures(rows, label) {
  const cells = rows.map(([number, description]) => element("div", {},
    element("p.big", {}, number), element("p.small", {}, description)));
  return element("section.figures", { "aria-label": label }, ...cells);
}

/** A table; the first cell of each row is the row's heading. Cells are texts or elements. */
export function table(headings, rows, corner = "") {
  return element("table", {},
    element("thead", {}, element("tr", {},
      corner ? element("th", { scope: "col" }, corner) : element("td"),
      ...headings.map((heading) => element("th", { scope: "col" }, heading)))),
    element("tbody", {}, ...rows.map(([heading, ...cells]) => element("tr", {},
      element("th", { scope: "row" }, heading),
      ...cells.map((cell) => element(isLong(cell) ? "td.long" : "td", {}, cell))))));
}

function isLong(cell) {
  return (cell.textContent ?? cell).length > LONG_CHARACTERS;
}

/** A label as shown on the page: "VERY_GOOD" is "Very good". */
export function name(label) {
  const words = label.replaceAll("_", " ").toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The beginning of a text for a cell of a table. */
export function short(text) {
  return text.length > MAX_CELL_CHARACTERS ? `${text.slice(0, MAX_CELL_CHARACTERS)}…` : text;
}

/** A probability with one decimal, never rounded to 0% or 100%. */
export function percent(probability) {
  if (probability > 0.999 && probability < 1) return "over 99.9%";
  if (probability > 0 && probability < 0.001) return "under 0.1%";
  return `${(100 * probability).toFixed(1)}%`;
}

/**
 * A probability in whole percent, on the same side of the threshold as it really is. Never rounded to
 * 0% or 100%.
 */
export function percentBeside(probability, unsureBelow) {
  const limit = thresholdPercent(unsureBelow);
  const rounded = Math.round(100 * probability);
  const value = probability >= unsureBelow ? Math.max(rounded, limit) : Math.min(rounded, limit - 1);
  if (value >= 100 && probability < 1) return "over 99%";
  if (value <= 0 && probability > 0) return "under 1%";
  return `${value}%`;
}

/** A threshold in whole percent, rounded up; 1e-6: 100 * 0.07 is 7.000000000000001. */
function thresholdPercent(unsureBelow) {
  return Math.ceil(100 * unsureBelow - 1e-6);
}

/** A number with separators of thousands. */
export function count(number) {
  return number.toLocaleString("en");
}

/** "1 row", "2 rows". */
export function countOf(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** How much of the review the model read. */
function tokensRead({ tokensRead: read, tokens }) {
  const counts = `${count(read)} of ${count(tokens)} tokens read`;
  return read < tokens
    ? `${counts}: the beginning and the end. The review exceeds the model's maximum length.`
    : counts;
}

function probabilityOf({ label, probabilities, neutral }, unsureBelow) {
  const shown = percentBeside(probabilities[label], unsureBelow);
  const sentence = `${shown} probability of ${name(label).toLowerCase()}`;
  return neutral ? `${sentence}, not clearly more than for a text without words` : sentence;
}

/** One scale from the negative to the positive of two labels; a bar for each of more labels, in order. */
function scale(prediction, unsureBelow) {
  const labels = Object.keys(prediction.probabilities);
  const steps = scaleOf(labels);
  if (steps) {
    const styles = steps.values.map((value) => stepStyle(value, steps.values));
    return element("dl.bars", {}, ...labels.flatMap((label, i) =>
      step(label, prediction.probabilities[label], styles[i], unsureBelow)));
  }
  if (labels.length !== 2) {
    return element("dl.bars", {}, ...labels.flatMap((label) => bar(prediction, label, unsureBelow)));
  }
  const [first, last] = inOrder(labels);
  const [start, end] = [Math.max(0, 1 - unsureBelow), Math.min(1, unsureBelow)];
  const hasZone = unsureBelow > 0.5;
  const { unsure, neutral, probabilities } = prediction;
  const kind = neutral ? "neutral" : unsure ? "unsure" : "sure";
  return element("div.scale", { "aria-hidden": "true" },
    element("div.track", {},
      hasZone ? element("span.zone", { left: share(start), width: share(end - start) }) : null,
      element(`b.${kind}`, { left: share(probabilities[last]) })),
    element("p.small.ends", {}, element("span", {}, name(first).toLowerCase()),
      hasZone ? element("span", {}, "uncertain") : null,
      element("span", {}, name(last).toLowerCase())));
}

function step(label, probability, style, unsureBelow) {
  return [
    element("dt", {}, name(label)),
    element("dd", {}, element("span", {}, percentBeside(probability, unsureBelow)),
      element("span.track", { "aria-hidden": "true" },
        element("b.step", { width: share(probability), ...style }))),
  ];
}

function bar(prediction, label, unsureBelow) {
  const probability = prediction.probabilities[label];
  return [
    element("dt", {}, name(label)),
    element("dd", {}, element("span", {}, percentBeside(probability, unsureBelow)),
      element("span.track", { "aria-hidden": "true" },
        element(`b.${color(prediction, label)}`, { width: share(probability) }),
        unsureBelow ? element("i", { left: share(unsureBelow) }) : null)),
  ];
}

function threshold({ probabilities }, unsureBelow) {
  if (unsureBelow <= 1 / Object.keys(probabilities).length) return null;
  return element("p.small", {}, `Below ${thresholdPercent(unsureBelow)}% the model is uncertain: it ` +
    "makes too many errors there.");
}

function unknown({ unreadable, unknownTokens, tokens }) {
  if (!unreadable?.length) return null;
  return element("p.small", {}, `The model doesn't know ${count(unknownTokens)} of the ` +
    `${count(tokens)} tokens: “${unreadable.join("”, “")}”.`);
}

function share(value) {
  return `${100 * value}%`;
}

/**
 * Class of a label: the model's first label is "against", every other one "for". Of a scale, that of
 * the expected value.
 */
export function color(prediction, label) {
  const steps = scaleOfPrediction(prediction);
  if (steps) return side(expectedValue(prediction.probabilities), steps.values);
  const sign = sides(Object.keys(prediction.probabilities)).get(label);
  return sign > 0 ? "for" : sign < 0 ? "against" : "unsure";
}
