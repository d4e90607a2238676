// transformers.js on a published repository: texts come in as JSON, probabilities of a label go out,
// of each text alone and of batches.
import { readFileSync } from "node:fs";

const { library, model, dtype, label, texts, rows, cache } = JSON.parse(readFileSync(0, "utf8"));
const { env, pipeline } = await import(library);
env.remoteHost = process.env.HF_ENDPOINT;
env.allowLocalModels = false;
env.cacheDir = cache;

const classify = await pipeline("sentiment-analysis", model, { dtype });
const all = { top_k: null };
const scoreOf = (answers) => answers.find((answer) => answer.label === label).score;
const alone = [];
for (const text of texts) alone.push(scoreOf(await classify(text, all)));
const together = [];
for (let i = 0; i < texts.length; i += rows) {
  together.push(...(await classify(texts.slice(i, i + rows), all)).map(scoreOf));
}
process.stdout.write(JSON.stringify({ alone, together }));
