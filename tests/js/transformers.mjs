// transformers.js on a published repository: texts come in as JSON, probabilities of POSITIVE go out,
// of each text alone and of batches.
import { readFileSync } from "node:fs";

const { library, model, dtype, texts, rows, cache } = JSON.parse(readFileSync(0, "utf8"));
const { env, pipeline } = await import(library);
env.remoteHost = process.env.HF_ENDPOINT;
env.allowLocalModels = false;
env.cacheDir = cache;

const classify = await pipeline("sentiment-analysis", model, { dtype });
const positive = (answer) => (answer.label === "POSITIVE" ? answer.score : 1 - answer.score);
const alone = [];
for (const text of texts) alone.push(positive((await classify(text))[0]));
const together = [];
for (let i = 0; i < texts.length; i += rows) {
  together.push(...(await classify(texts.slice(i, i + rows))).map(positive));
}
process.stdout.write(JSON.stringify({ alone, together }));
