// The File tab: opens a file of reviews and has the worker score it.
import { guessTextColumn, read } from "./csv.js";
import { fileResults } from "./file_results.js";
import { count, countOf, element, progress, sentence, short, table } from "./views.js";

const PREVIEW_ROWS = 5;
const WINDOWS_1252 = "It is not in UTF-8 and was read as Windows-1252: check letters with accents.";
const NO_HEADER = "The first line was read as the names of the columns. If it is a review, add a line " +
  "with names above it, such as: text";
const LONG_NAME_WORDS = 5;

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
      opened.isWindows1252 ? sentence(WINDOWS_1252, "remark") : "",
      opened.columns.some(looksLikeReview) ? sentence(NO_HEADER, "remark") : "");
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
      get("file-results").replaceChildren(
        ...fileResults(source, column, nameEmptyCells(texts, answers), labels, unsureBelow));
      get("file-results").focus();
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
    get("file-results").toggleAttribute("data-stale", stale);
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

/** Whether the name of a column is a sentence. */
function looksLikeReview(name) {
  return name.trim().split(/\s+/).length >= LONG_NAME_WORDS;
}

function setRunning(running) {
  get("score").disabled = running;
  get("cancel").hidden = !running;
}

/** The answers, with a reason for empty cells that fits a file. */
function nameEmptyCells(texts, answers) {
  return answers.map((answer, i) => (texts[i].trim() ? answer : { error: "The cell is empty." }));
}
