// A review colored by the effect of its sentences and words, with the strongest ones listed.
// Mirrors space/views/explanation.py and the clicks in space/head.html.

import { color, element, name, percent, scaleOfPrediction, table } from "./views.js";

const MIN_ATTRIBUTION = 0.05; // log-odds; parts below it are not colored
const MIN_SHARE = 0.02; // nor are parts below this share of the largest effect
const MIN_LISTED = 4; // sentences of a review whose strongest are listed
const LISTED = 3; // sentences of each side
const LISTED_CHARACTERS = 90;
const RAMP = [1, 0.6, 0.3]; // opacities in the legend

/** The review with its sentences colored by their effect, and a table of the numbers. */
export function attribution(text, explanation) {
  const { prediction, sentences, words, fullContext } = explanation;
  if (!sentences.length && !words.length) return null;
  return element("section.attribution", { "aria-label": "Effect of each sentence", onclick: showEffect },
    legend(prediction),
    contrary(explanation),
    strongest(text, explanation),
    element("p.review", {}, ...coloredReview(text, explanation)),
    fullContext ? null : element("p.small", {}, "The review is long: the effect of a sentence is " +
      "measured within the 1,000 characters around it."),
    element("details", {}, element("summary", {}, "Show the numbers"), partsTable(text, explanation)));
}

/**
 * Of a click: a listed sentence scrolls to its place in the review; a sentence or word that is
 * tapped shows its effect, as the pointer does on a computer.
 */
function showEffect({ target }) {
  const jump = target.closest("[data-jump]");
  const part = jump ? document.getElementById(jump.dataset.jump) : target.closest(".review [data-effect]");
  if (!part) return;
  const hide = !jump && part.classList.contains("shown");
  for (const other of document.querySelectorAll(".review .shown")) other.classList.remove("shown");
  part.classList.toggle("shown", !hide);
  if (!jump) return;
  part.focus({ preventScroll: true });
  part.scrollIntoView({ block: "center" });
}

/** What the colors mean: strong and weak, for either side. */
function legend(prediction) {
  const ramp = (side, opacities) => opacities.map((opacity) => element(`i.${side}`, { "--w": opacity }));
  const [left, right] = partColor(prediction, 1) === "against" ? [1, -1] : [-1, 1];
  return element("p.small.legend", {}, `${side(prediction, left)} `,
    element("span.ramp", { "aria-hidden": "true" },
      ...ramp("against", RAMP), ...ramp("for", [...RAMP].reverse())),
    ` ${side(prediction, right)}. Tap a sentence or word to see its effect.`);
}

/** A remark if every sentence points against the prediction. */
function contrary({ prediction, sentences }) {
  if (scaleOfPrediction(prediction)) return null; // the effects point to more or fewer steps
  const effects = sentences.map((part) => part.attribution);
  if (!effects.length || Math.max(...effects) >= 0 || Math.min(...effects) > -MIN_ATTRIBUTION) return null;
  return element("p.small.contrary", {}, "Each sentence by itself points away from " +
    `${name(prediction.label).toLowerCase()}. The model predicts it from the sentences together.`);
}

/** The strongest sentences of both sides, each a button that scrolls to the sentence. */
function strongest(text, { prediction, sentences }) {
  if (sentences.length < MIN_LISTED) return null;
  const lists = [1, -1].map((sign) => {
    const parts = sentences.filter((part) => sign * part.attribution >= MIN_ATTRIBUTION)
      .sort((a, b) => Math.abs(b.attribution) - Math.abs(a.attribution)).slice(0, LISTED);
    return element("div", {}, element("p", {}, `Strongest for ${side(prediction, sign)}`),
      element("ol", {}, ...parts.map((part) => listed(text, prediction, part)),
        parts.length ? null : element("li", {}, "No sentence")));
  });
  return element("div.strongest", {}, ...lists);
}

function listed(text, prediction, { start, end, attribution: effect }) {
  const words = shorten(text.slice(start, end), LISTED_CHARACTERS);
  const attributes = { type: "button", "data-jump": `part-${start}` };
  return element("li", {},
    element(`button.${partColor(prediction, effect)}`, attributes, words), " ",
    element("span", {}, `+${Math.abs(effect).toFixed(2)}`));
}

/** The first words of a text, at most `limit` characters. */
export function shorten(text, limit) {
  const words = text.trim().replace(/\s+/g, " ");
  if (words.length <= limit) return words;
  return `${words.slice(0, words.lastIndexOf(" ", limit) + 1 || limit).trim()}…`;
}

/** The review with colored sentences and words; line breaks are kept. */
function coloredReview(text, explanation) {
  const whole = { start: 0, end: text.length, attribution: 0, probabilityWithout: null };
  const { prediction, sentences, words } = explanation;
  const context = { text, prediction, strongest: sentences[explanation.strongest] };
  const parts = sentences.length ? sentences : [whole];
  const largest = largestOf(parts);
  const pieces = [];
  let position = 0;
  for (const part of parts) {
    const own = words.filter((word) => part.start <= word.start && word.end <= part.end);
    const attributes = sentences.length
      ? { id: `part-${part.start}`, tabindex: -1, ...attributesOf(context, part, largest) } : {};
    pieces.push(gap(text.slice(position, part.start)));
    pieces.push(element("span", attributes, ...sentenceWords(context, part, own)));
    position = part.end;
  }
  return [...pieces, gap(text.slice(position))];
}

/** The space or line break between two sentences. */
function gap(between) {
  if (/<br|\n/i.test(between)) return element("br");
  return between ? " " : "";
}

function sentenceWords(context, part, words) {
  const largest = largestOf(words);
  const pieces = [];
  let position = part.start;
  for (const word of words) {
    pieces.push(context.text.slice(position, word.start));
    pieces.push(element("b", attributesOf(context, word, largest), context.text.slice(word.start, word.end)));
    position = word.end;
  }
  return [...pieces, context.text.slice(position, part.end)];
}

/**
 * The effect of a part in words, and as a color. The opacity grows with the square root of the
 * effect: beside a very strong sentence, those of medium effect stay visible.
 */
function attributesOf({ prediction, strongest }, part, largest) {
  const shown = effectOf(prediction, part);
  const attributes = { title: shown, "data-effect": shown };
  if (Math.abs(part.attribution) < Math.max(MIN_ATTRIBUTION, MIN_SHARE * largest)) return attributes;
  const classes = [partColor(prediction, part.attribution), ...(part === strongest ? ["top"] : [])];
  const opacity = Math.sqrt(Math.abs(part.attribution) / Math.max(1, largest));
  return { ...attributes, class: classes.join(" "), "--w": opacity.toFixed(2) };
}

function effectOf(prediction, { attribution: effect, probabilityWithout }) {
  const shown = `+${Math.abs(effect).toFixed(2)} for ${side(prediction, effect)}`;
  if (probabilityWithout === null) return shown;
  const label = name(prediction.label).toLowerCase();
  return `${shown} · without it: ${percent(probabilityWithout)} ${label}`;
}

function partsTable(text, { prediction, sentences, words }) {
  const label = name(prediction.label).toLowerCase();
  const steps = scaleOfPrediction(prediction);
  const headings = [`Effect on ${steps ? `the ${steps.unit}` : label} (log-odds)`];
  if (sentences.length) headings.push(`Probability of ${label} without it`);
  const without = ({ probabilityWithout: share }) => (share === null ? "" : percent(share));
  const rows = (sentences.length ? sentences : words).map((part) => [
    text.slice(part.start, part.end), signed(part.attribution),
    ...(sentences.length ? [without(part)] : []),
  ]);
  return table(headings, rows);
}

function signed(number) {
  return `${number < 0 ? "-" : "+"}${Math.abs(number).toFixed(2)}`;
}

function largestOf(parts) {
  return Math.max(0, ...parts.map((part) => Math.abs(part.attribution)));
}

/** The label that a part supports, from the sign of its effect on the predicted label. */
function side(prediction, effect) {
  const steps = scaleOfPrediction(prediction);
  if (steps) return `${effect >= 0 ? "more" : "fewer"} ${steps.unit}`;
  const label = name(prediction.label).toLowerCase();
  if (effect >= 0) return label;
  const others = Object.keys(prediction.probabilities).filter((other) => other !== prediction.label);
  return others.length === 1 ? name(others[0]).toLowerCase() : `not ${label}`;
}

/** Class of a part, from the sign of its effect on the predicted label. */
function partColor(prediction, effect) {
  if (scaleOfPrediction(prediction)) return effect > 0 ? "for" : "against";
  const isNegative = color(prediction, prediction.label) === "against";
  return (effect > 0) !== isNegative ? "for" : "against";
}
