// The File tab: a file of reviews, scored by the worker, summarized and downloadable.
import { guessTextColumn, read, scoredTable, write } from "./csv.js";
import { expectedValue, scaleOf } from "./scale.js";
import {
  count, element, figures, name, percentBeside, progress, sentence, table, verdict,
} from "./views.js";

const PREVIEW_ROWS = 5;
const LISTED_ROWS = 100;
const LISTED_CHARACTERS = 160;
const OTHER_LANGUAGE = "Seem to be in a language that the model was not trained on; these count as " +
  "uncertain";

const WINDOWS_1252 = "It is not in UTF-8 and was read as Windows-1252: check letters with accents.";

const get = (id) => document.getElementById(id);

/** Connect the tab. `model` gives the present ModelWorker; `ready` is a promise of {labels}. */
export function connectFileTab(model, ready) {
  let opened = null; // the table in the file
  let newest = null; // the file that was chosen last
  let shown = null; // the index of the column that the results are about
  let scoring = null; // AbortController

  async function open(file) {
    scoring?.abort();
    [opened, newest, shown] = [null, file, null];
    get("file-options").hidden = true;
    get("file-progress").replaceChildren();
    get("file-results").replaceChildren();
    try {
      const table = await read(file);
      if (file !== newest) return;
      opened = table;
    } catch (error) {
      if (file === newest) get("file-status").replaceChildren(sentence(error.message));
      return;
    }
    const size = `${countOf(opened.rows.length, "row")}, ${countOf(opened.columns.length, "column")}.`;
    get("file-status").replaceChildren(element("p", {}, `${opened.name}: ${size}`),
      opened.isWindows1252 ? sentence(WINDOWS_1252, "remark") : "");
    get("column").replaceChildren(...opened.columns.map((column, i) =>
      element("option", { value: i }, column)));
    get("column").value = guessTextColumn(opened);
    const rows = opened.rows.slice(0, PREVIEW_ROWS).map((row, i) => [`${i + 1}`, ...row.map(short)]);
    get("preview").replaceChildren(table(opened.columns, rows, "Row"));
    get("file-options").hidden = false;
  }

  async function score() {
    const [source, column] = [opened, Number(get("column").value)];
    const { signal } = (scoring = new AbortController());
    setRunning(true);
    get("file-results").replaceChildren();
    const started = performance.now();
    const onProgress = ({ done, total }) => {
      const seconds = (performance.now() - started) / 1000;
      const message = `${count(done)} of ${count(total)} reviews`;
      get("file-progress").replaceChildren(progress(message, done, total, seconds));
    };
    onProgress({ done: 0, total: source.rows.length });
    try {
      const { labels, unsureBelow } = await Promise.race([ready, cancelled(signal)]);
      const texts = source.rows.map((row) => row[column]);
      const answers = await model().call("score", texts, { onProgress, signal });
      get("file-progress").replaceChildren();
      shown = column;
      showResults(source, column, texts, nameEmptyCells(texts, answers), labels, unsureBelow);
      markStale();
    } catch (error) {
      if (source !== opened) return; // another file was opened
      const message = signal.aborted ? "Cancelled. No results were kept." : error.message;
      get("file-progress").replaceChildren(sentence(message, signal.aborted ? "remark" : "problem"));
    } finally {
      if (scoring.signal === signal) setRunning(false);
    }
  }

  /** Dim results that are about another column than the chosen one. */
  function markStale() {
    const stale = shown !== null && Number(get("column").value) !== shown;
    get("file-results").classList.toggle("stale", stale);
  }

  get("column").onchange = markStale;
  get("file").onchange = ({ target }) => target.files[0] && open(target.files[0]);
  get("sample").onclick = async () => {
    const response = await fetch("sample.csv");
    await open(new File([await response.blob()], "sample.csv"));
  };
  get("score").onclick = score;
  get("cancel").onclick = () => scoring?.abort();
}

/** A promise that is rejected when the signal is aborted. */
function cancelled(signal) {
  return new Promise((_, reject) => signal.addEventListener("abort", reject, { once: true }));
}

/** "1 row", "2 rows". */
function countOf(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

function setRunning(running) {
  get("score").disabled = running;
  get("cancel").hidden = !running;
}

/** The answers, with a reason for empty cells that fits a file. */
function nameEmptyCells(texts, answers) {
  return answers.map((answer, i) => (texts[i].trim() ? answer : { error: "The cell is empty." }));
}

let resultUrl = null; // of the newest scored file

function showResults(source, column, texts, answers, labels, unsureBelow) {
  const scored = answers.filter((answer) => answer.error === undefined);
  const scale = scaleOf(labels); // an uncertain review has a place on it
  const rows = [
    ...labels.map((label) => [scored.filter((answer) =>
      answer.label === label && (scale || !answer.unsure)).length, name(label)]),
    [scored.filter((answer) => answer.unsure).length, scale ? "Uncertain among these" : "Uncertain"],
    [answers.length - scored.length, "Not analyzed"],
  ];
  const foreign = scored.filter((answer) => answer.languageCaution).length;
  if (foreign) rows.push([foreign, OTHER_LANGUAGE]);
  const numbers = rows.map(([number, description]) => [count(number), description]);
  if (scale && scored.length) {
    const sum = scored.reduce((total, answer) => total + expectedValue(answer.probabilities), 0);
    numbers.unshift([(sum / scored.length).toFixed(2), `${name(scale.unit)} on average`]);
  }
  const content = write(scoredTable(source, answers, labels));
  if (resultUrl) URL.revokeObjectURL(resultUrl);
  resultUrl = URL.createObjectURL(new Blob([content], { type: "text/csv" }));
  const download = `${source.name.replace(/\.[^.]*$/, "")}-scored.csv`;
  const listed = answers.slice(0, LISTED_ROWS);
  const title = answers.length > LISTED_ROWS ? `The first ${LISTED_ROWS} reviews` : "All reviews";
  get("file-results").replaceChildren(
    element("div.block", {},
      element("p.subject", {}, `File: ${source.name}, column: ${source.columns[column]}`),
      figures(numbers, "Summary"),
      element("div.row", {}, element("a.button.primary", { href: resultUrl, download },
        "Download as CSV"))),
    element("div.block", {}, element("h2", {}, title),
      element("div.rows", { tabindex: 0, role: "region", "aria-label": title },
        table(["Review", "Prediction", "Probability"],
          listed.map((answer, i) => listing(i, texts[i], answer, unsureBelow)), "Row"))));
  get("file-results").focus();
}

/** The cells of a review; its text is a link that opens it in the Review tab. */
function listing(index, text, answer, unsureBelow) {
  if (answer.error !== undefined) {
    return [`${index + 1}`, short(text), answer.error, ""];
  }
  const link = element("a", { href: `#review=${encodeURIComponent(text)}` }, short(text));
  const shown = percentBeside(answer.probabilities[answer.label], unsureBelow);
  return [`${index + 1}`, link, verdict(answer), shown];
}

function short(text) {
  return text.length > LISTED_CHARACTERS ? `${text.slice(0, LISTED_CHARACTERS)}…` : text;
}
