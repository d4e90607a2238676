// Files of reviews → rows, and rows → CSV that is safe to open in a spreadsheet. The parser is Papa
// Parse, which index.html loads.

import { expectedValue, scaleOf } from "./scale.js";

export const MAX_BYTES = 50 * 2 ** 20;
const MAX_COLUMNS = 200;
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
 * @returns `name`, `columns` (their names) and `rows` (arrays of texts, as wide as `columns`).
 * @throws InvalidFile if it is empty, too large, damaged or not a text.
 */
export async function read(file) {
  if (file.size > MAX_BYTES) {
    throw new InvalidFile(`${file.name} has ${megabytes(file.size)} MB; a file may have at most ` +
      `${megabytes(MAX_BYTES)} MB.`);
  }
  const text = decode(await file.arrayBuffer(), file.name);
  const lines = /\.txt$/i.test(file.name) && !text.split("\n", 1)[0].includes("\t");
  const rows = lines ? linesOf(text) : await parse(text, file.name);
  if (rows.length < 2) throw new InvalidFile(`${file.name} has no rows below its header.`);
  const [header, ...body] = rows;
  const width = body.reduce((widest, row) => Math.max(widest, row.length), header.length);
  if (width > MAX_COLUMNS) {
    throw new InvalidFile(`A file may have at most ${MAX_COLUMNS} columns; ${file.name} has ${width}.`);
  }
  const columns = [];
  for (let i = 0; i < width; i += 1) {
    columns.push(unusedName(header[i]?.trim() || `column ${i + 1}`, columns));
  }
  const padded = body.map((row) => [...row, ...Array(width - row.length).fill("")]);
  return { name: file.name, columns, rows: padded };
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
  try {
    text = new TextDecoder(utf16 ?? "utf-8", { fatal: true }).decode(buffer);
  } catch {
    text = new TextDecoder("windows-1252").decode(buffer);
  }
  if (/[\0-\x08\x0e-\x1a]/.test(text.slice(0, 10_000))) {
    throw new InvalidFile(`${name} is not a text file. Upload CSV, TSV or plain text.`);
  }
  return text;
}

function linesOf(text) {
  return [["text"], ...text.split(/\r\n?|\n/).filter((line) => line.trim()).map((line) => [line])];
}

/** The rows of a CSV text, parsed in a worker. */
async function parse(text, name) {
  const { data, errors } = await new Promise((resolve) => {
    Papa.parse(text, { complete: resolve, skipEmptyLines: "greedy", worker: true });
  });
  const error = errors.find(({ type }) => type === "Quotes");
  if (error) {
    throw new InvalidFile(`${name} is damaged: quotation marks in row ${error.row + 1} don't match.`);
  }
  return data;
}

function unusedName(name, used) {
  let free = name;
  for (let number = 2; used.includes(free); number += 1) free = `${name}_${number}`;
  return free;
}

function megabytes(bytes) {
  return Math.ceil(bytes / 2 ** 20).toLocaleString("en");
}
