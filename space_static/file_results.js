// The results of a scored file: how many reviews have each verdict, a table, and the download.
// Mirrors space/analysis/report.py and space/tabs/results.py: everywhere a review has one verdict, a
// label or uncertain.
import { scoredTable, write } from "./csv.js";
import { inOrder, sides } from "./labels.js";
import { expectedValue, scaleOf, stepStyle } from "./scale.js";
import {
  count, countOf, element, figures, name, percent, percentBeside, short, table, verdict,
} from "./views.js";

const LISTED_ROWS = 100;
const UNCERTAIN = "uncertain";
const NOT_ANALYZED = "not analyzed";
const Z = 1.959964; // of a 95% interval
const OTHER_LANGUAGE = "seem to be in a language that the model was not trained on; these count as " +
  "uncertain";

let resultUrl = null; // of the newest scored file

/**
 * Elements that show the results.
 * @param source The table in the file, as `read` returns it.
 * @param column The index of the text column.
 * @param answers For each row a prediction, or `{error}`.
 * @param labels The model's, in its order.
 * @param unsureBelow The probability below which the model is unsure.
 */
export function fileResults(source, column, answers, labels, unsureBelow) {
  const verdicts = answers.map((answer) => verdictOf(answer, labels));
  const counts = countsOf(verdicts, labels);
  const row = (i) => listing(i, source.rows[i][column], answers[i], unsureBelow);
  return [
    element("div.block", {},
      element("p.subject", {}, `File: ${source.name}, column: ${source.columns[column]}`),
      ...summary(answers, counts, labels),
      element("div.row", {}, downloadLink(source, answers, labels))),
    element("div.block", {}, ...listings(verdicts, counts, row)),
  ];
}

/** A label, `UNCERTAIN`, or `NOT_ANALYZED`. On a scale, an uncertain review has its place too. */
function verdictOf(answer, labels) {
  if (answer.error !== undefined) return NOT_ANALYZED;
  return answer.unsure && !scaleOf(labels) ? UNCERTAIN : answer.label;
}

/** `[verdict, number of rows]`, from positive over uncertain to negative, without `NOT_ANALYZED`. */
function countsOf(verdicts, labels) {
  const numberOf = (verdict) => verdicts.filter((other) => other === verdict).length;
  const order = inOrder(labels).reverse();
  if (verdicts.includes(UNCERTAIN)) order.splice(-1, 0, UNCERTAIN);
  return order.map((verdict) => [verdict, numberOf(verdict)]);
}

/** A bar with the verdicts, and figures. */
function summary(answers, counts, labels) {
  const scored = answers.filter((answer) => answer.error === undefined);
  const facts = [[count(answers.length - scored.length), NOT_ANALYZED]];
  if (!scored.length) return [figures(facts, "Summary")];
  const truncated = scored.filter((answer) => answer.tokensRead < answer.tokens).length;
  if (truncated) {
    facts.push([count(truncated), "too long for the model, which read their beginning and end"]);
  }
  const foreign = scored.filter((answer) => answer.languageCaution).length;
  if (foreign) facts.push([count(foreign), OTHER_LANGUAGE]);
  const headline = scaleOf(labels) ? averages(scored, labels) : [shareOf(counts[0], scored.length)];
  return [stackedBar(counts, scored.length, labels), figures([...headline, ...facts], "Summary")];
}

/** The share of a verdict with its 95% interval (E. B. Wilson, JASA 22, 1927). */
function shareOf([verdict, number], total) {
  const share = number / total;
  const center = (share + Z ** 2 / (2 * total)) / (1 + Z ** 2 / total);
  const half = (Z * Math.sqrt((share * (1 - share)) / total + Z ** 2 / (4 * total ** 2))) /
    (1 + Z ** 2 / total);
  const [low, high] = [center - half, center + half].map((end) =>
    `${(100 * Math.min(1, Math.max(0, end))).toFixed(1)}%`);
  return [percent(share), `${name(verdict).toLowerCase()}, of ${countOf(total, "review")} (95% interval ` +
    `${low} to ${high})`];
}

/** The mean of the expected values, and how many of the predictions are uncertain. */
function averages(scored, labels) {
  const sum = scored.reduce((total, answer) => total + expectedValue(answer.probabilities), 0);
  const unsure = scored.filter((answer) => answer.unsure).length;
  return [
    [(sum / scored.length).toFixed(2),
      `${scaleOf(labels).unit} on average, of ${countOf(scored.length, "review")}`],
    [count(unsure), "uncertain: the probability of each label is low"],
  ];
}

/** One bar with a part for each verdict, and a legend with the numbers. */
function stackedBar(counts, total, labels) {
  const parts = counts.filter(([, number]) => number).map(([verdict, number]) =>
    colored("b", verdict, labels, { "flex-grow": number }));
  const legend = counts.map(([verdict, number]) => element("li", {}, colored("i", verdict, labels),
    ` ${name(verdict)} `, element("strong", {}, count(number)),
    ` (${((100 * number) / total).toFixed(1)}%)`));
  return element("div.verdicts", {},
    element("div.stack", { "aria-hidden": "true" }, ...parts), element("ul", {}, ...legend));
}

/** An element in the color of a verdict. */
function colored(tag, verdict, labels, attributes = {}) {
  const steps = scaleOf(labels);
  if (steps) {
    const style = stepStyle(steps.values[labels.indexOf(verdict)], steps.values);
    return element(`${tag}.step`, { ...attributes, ...style });
  }
  const sign = sides(labels).get(verdict);
  return element(`${tag}.${sign > 0 ? "for" : sign < 0 ? "against" : "unsure"}`, attributes);
}

function downloadLink(source, answers, labels) {
  const content = write(scoredTable(source, answers, labels));
  if (resultUrl) URL.revokeObjectURL(resultUrl);
  resultUrl = URL.createObjectURL(new Blob([content], { type: "text/csv" }));
  const download = `${source.name.replace(/\.[^.]*$/, "")}-scored.csv`;
  return element("a.button.primary", { href: resultUrl, download }, "Download as CSV");
}

/**
 * The first rows in a table, and a choice of the verdict that they have. `row` makes the cells of a
 * review by its index: only those that are shown, because a file can have very many.
 */
function listings(verdicts, counts, row) {
  const heading = element("h2", {});
  const listed = element("div.rows", { tabindex: 0, role: "region", "aria-label": "Reviews" });
  const show = (verdict) => {
    const chosen = [...verdicts.keys()].filter((i) => verdict === null || verdicts[i] === verdict);
    heading.replaceChildren(chosen.length > LISTED_ROWS
      ? `The first ${LISTED_ROWS} of ${count(chosen.length)} reviews` : "Reviews");
    listed.replaceChildren(
      table(["Review", "Prediction"], chosen.slice(0, LISTED_ROWS).map(row), "Row"));
  };
  const failed = verdicts.filter((verdict) => verdict === NOT_ANALYZED).length;
  const chips = [[null, verdicts.length], ...counts, [NOT_ANALYZED, failed]].filter(([, number]) => number);
  show(null);
  return [heading, element("fieldset.chips", {}, element("legend", {}, "Show"),
    ...chips.map(([verdict, number]) => element("label", {},
      element("input", { type: "radio", name: "verdict", onchange: () => show(verdict),
        checked: verdict === null ? "" : null }),
      ` ${verdict === null ? "All" : name(verdict)} ${count(number)}`))), listed];
}

/** The cells of a review; its text is a link that opens it in the Review tab. */
function listing(index, text, answer, unsureBelow) {
  const row = count(index + 1);
  if (answer.error !== undefined) return [row, short(text), answer.error];
  const link = element("a", { href: `#review=${encodeURIComponent(text)}` }, short(text));
  const shown = percentBeside(answer.probabilities[answer.label], unsureBelow);
  return [row, link, element("span", {}, verdict(answer), element("span.small", {}, ` ${shown}`))];
}
