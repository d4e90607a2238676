// transformers.js on a published repository: texts come in as JSON, probabilities of POSITIVE go out.
import { readFileSync } from "node:fs";
import { env, pipeline } from "@huggingface/transformers";

const { model, dtype, texts, cache } = JSON.parse(readFileSync(0, "utf8"));
env.remoteHost = process.env.HF_ENDPOINT;
env.allowLocalModels = false;
env.cacheDir = cache;

const classify = await pipeline("sentiment-analysis", model, { dtype });
const found = [];
for (const text of texts) {
  const [answer] = await classify(text);
  found.push(answer.label === "POSITIVE" ? answer.score : 1 - answer.score);
}
process.stdout.write(JSON.stringify(found));
