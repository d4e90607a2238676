// transformers.js on a published model of text pairs: its logits of each pair, as JSON. Its
// pipeline() reads single texts only, so the tokenizer and the model are called by themselves.
import { readFileSync } from "node:fs";

const { library, model, dtype, pairs, cache } = JSON.parse(readFileSync(0, "utf8"));
const { AutoModelForSequenceClassification, AutoTokenizer, env } = await import(library);
env.remoteHost = process.env.HF_ENDPOINT;
env.allowLocalModels = false;
env.cacheDir = cache;

const tokenizer = await AutoTokenizer.from_pretrained(model);
const classifier = await AutoModelForSequenceClassification.from_pretrained(model, { dtype });
const answers = [];
for (const [text, text_pair] of pairs) {
  const { logits } = await classifier(tokenizer(text, { text_pair, return_token_type_ids: true }));
  answers.push(Array.from(logits.data));
}
process.stdout.write(JSON.stringify({ labels: classifier.config.id2label, answers }));
