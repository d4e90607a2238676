// Files of reviews → rows, and rows → CSV that is safe to open in a spreadsheet. The parser is Papa
// Parse, which index.html loads.

import { expectedValue, scaleOf } from "./scale.js";

export const MAX_BYTES = 50 * 2 ** 20;
const MAX_COLUMNS = 200;
const HEAD_CHARACTERS = 65_536; // and rows, from which a plain text is recognized as a table
const CHECKED_ROWS = 50;
const NO_DELIMITER = "\x1f"; // the unit separator, which texts don't have
const SUFFIXES = [".csv", ".tsv", ".tab", ".txt"];
// As in space/files/csv.py.
const USUAL_NAMES = new Set("text review comment label sentiment rating stars".split(" "));
// The most specific first, as in space/files/columns.py.
const TEXT_NAMES = ("text review reviewtext reviewbody reviewcontent comment comments content body " +
  "message sentence feedback opinion description").split(" ");
// As in space/files/downloads.py: cells that begin so are formulas, unless they are numbers.
const FORMULA = /^(?![+-]?(\d+([.,]\d*)*|[.,]\d+)([eE][+-]?\d+)?\s?%?$)[=+\-@\t\r\n＝＋－＠]/;
const CELL_START = /([;\t\r\n]"*)(?=[=+\-@＝＋－＠])|([;\r\n]"*)(?=\t)/g;

/** The file can't be read as a table; the message is a sentence for the page. */
export class InvalidFile extends Error {
  name = "InvalidFile";
}

/**
 * Read a CSV or TSV file with a header, or a .txt file with one review per line.
 * @returns `name`, `columns` (their names), `rows` (arrays of texts, as wide as `columns`), and
 *   `isWindows1252`: whether it was read as such, for want of UTF-8.
 * @throws InvalidFile if it is empty, too large, damaged or not a text, or a row has more or fewer
 *   cells than there are columns.
 */
export async function read(file) {
  if (file.size > MAX_BYTES) {
    throw new InvalidFile(`${file.name} is ${megabytes(file.size)} MB; the limit is ` +
      `${megabytes(MAX_BYTES)} MB. Keep only the columns that you need, or split the file.`);
  }
  const { text, isWindows1252 } = decode(await file.arrayBuffer(), file.name);
  if (!text.trim()) throw new InvalidFile(`${file.name} is empty.`);
  if (!SUFFIXES.some((suffix) => file.name.toLowerCase().endsWith(suffix))) {
    throw new InvalidFile(`${file.name} must end in ${SUFFIXES.join(", ")}. Save the table as CSV.`);
  }
  const lines = /\.txt$/i.test(file.name) && !isTable(text);
  const [header, ...rows] = lines ? linesOf(text) : await parse(text, file.name);
  if (!rows.length) throw new InvalidFile(`${file.name} has no rows below its header.`);
  if (header.length > MAX_COLUMNS) {
    throw new InvalidFile(`${file.name} has ${header.length} columns; the limit is ${MAX_COLUMNS}. ` +
      "Keep only the columns that you need.");
  }
  const columns = [];
  for (const [i, name] of header.entries()) {
    columns.push(unusedName(name.trim() || `column ${i + 1}`, columns));
  }
  return { name: file.name, columns, rows, isWindows1252 };
}

/** The index of the column that most likely holds the reviews: by its name, or its length. */
export function guessTextColumn({ columns, rows }) {
  const names = columns.map((name) => name.toLowerCase().replace(/[^a-z]/g, ""));
  const named = TEXT_NAMES.map((name) => names.indexOf(name)).find((index) => index >= 0);
  if (named !== undefined) return named;
  const lengths = columns.map((_, i) =>
    rows.slice(0, 1000).reduce((total, row) => total + row[i].length, 0));
  return lengths.indexOf(Math.max(...lengths));
}

/** The rows with the predictions beside them, as columns and rows. */
export function scoredTable({ columns, rows }, answers, labels) {
  const scale = scaleOf(labels);
  const expected = scale ? [`expected_${scale.unit.replaceAll(" ", "_")}`] : [];
  const caution = answers.some((answer) => answer.languageCaution) ? ["language_caution"] : [];
  const added = ["prediction", "probability", ...labels.map((label) => `p(${label})`), ...expected,
    "unsure", "tokens_read", "tokens", ...caution, "error"];
  const names = [...columns];
  for (const name of added) names.push(unusedName(name, names));
  const cells = answers.map((answer) => answer.error !== undefined
    ? [...added.slice(1).map(() => ""), answer.error]
    : [answer.label, answer.probabilities[answer.label],
      ...labels.map((label) => answer.probabilities[label]),
      ...expected.map(() => expectedValue(answer.probabilities)),
      answer.unsure ? "True" : "False", answer.tokensRead, answer.tokens,
      ...caution.map(() => answer.languageCaution ?? ""), ""]);
  return { columns: names, rows: rows.map((row, i) => [...row, ...cells[i]]) };
}

/** CSV that Excel reads as UTF-8, and in which no cell is a formula. */
export function write({ columns, rows }) {
  const safe = (cell) => typeof cell === "string" ? cell.replace(CELL_START, "$1$2'") : cell;
  const cells = [columns, ...rows].map((row) => row.map(safe));
  return `\ufeff${Papa.unparse(cells, { escapeFormulae: FORMULA, newline: "\r\n" })}\r\n`;
}

/** UTF-8 or UTF-16 by its byte order mark; without one UTF-8, or else Windows-1252. */
function decode(buffer, name) {
  const [first, second] = new Uint8Array(buffer, 0, Math.min(2, buffer.byteLength));
  const utf16 = { "255,254": "utf-16le", "254,255": "utf-16be" }[`${first},${second}`];
  let text;
  let isWindows1252 = false;
  try {
    text = new TextDecoder(utf16 ?? "utf-8", { fatal: true }).decode(buffer);
  } catch {
    text = new TextDecoder("windows-1252").decode(buffer);
    isWindows1252 = true;
  }
  if (/[\0-\x08\x0e-\x1a]/.test(text.slice(0, 10_000))) {
    throw new InvalidFile(`${name} is not a text file. Upload CSV, TSV or plain text.`);
  }
  return { text, isWindows1252 };
}

/**
 * Whether a plain text is a table: Excel's "Unicode text" has tabs, others name a usual column.
 * Otherwise each line is a review, in which commas mean nothing.
 */
function isTable(text) {
  const head = text.slice(0, HEAD_CHARACTERS);
  return ["\t", ",", ";", "|"].some((delimiter) => {
    const { data } = Papa.parse(head, { delimiter, preview: CHECKED_ROWS, skipEmptyLines: true });
    if (text.length > head.length && data.length > 2 && data.length < CHECKED_ROWS) data.pop(); // cut
    if (data.length < 2 || data[0].length === 1) return false;
    const isRegular = data.filter((row) => row.length === data[0].length).length >= 0.9 * data.length;
    const isUsual = data[0].some((name) => USUAL_NAMES.has(name.trim().toLowerCase()));
    return isRegular && (delimiter === "\t" || isUsual);
  });
}

function linesOf(text) {
  return [["text"], ...text.split(/\r\n?|\n/).filter((line) => line.trim()).map((line) => [line])];
}

/** The rows of a CSV text, parsed in a worker. */
async function parse(text, name) {
  const run = (delimiter) => new Promise((resolve) => {
    Papa.parse(text, { delimiter, complete: resolve, skipEmptyLines: "greedy", worker: true });
  });
  let { data, errors, meta } = await run("");
  // Commas mean nothing below the name of a single column.
  if (data[0]?.length === 1 && data.some((row) => row.length > 1)) {
    ({ data, errors, meta } = await run(NO_DELIMITER));
  }
  const error = errors.find(({ type }) => type === "Quotes");
  if (error) {
    throw new InvalidFile(`${name} is damaged: quotation marks in row ${error.row + 1} don't match.`);
  }
  const wrong = data.findIndex((row) => row.length !== data[0].length);
  if (wrong > 0) throw new InvalidFile(wrongLength(name, wrong, data, meta.delimiter));
  return data;
}

function wrongLength(name, row, data, delimiter) {
  const [cells, columns] = [data[row].length, data[0].length];
  const separator = delimiter === "\t" ? "tabs" : `"${delimiter}"`;
  return `${name}, row ${row.toLocaleString("en")} of the table: it has ${cells} ` +
    `cell${cells === 1 ? "" : "s"}, but the first line names ${columns} ` +
    `column${columns === 1 ? "" : "s"}. Columns are separated by ${separator}: put quotes around ` +
    "texts that contain that character.";
}

function unusedName(name, used) {
  let free = name;
  for (let number = 2; used.includes(free); number += 1) free = `${name}_${number}`;
  return free;
}

function megabytes(bytes) {
  return Math.ceil(bytes / 2 ** 20).toLocaleString("en");
}
