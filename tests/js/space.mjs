// In: the page's address and texts, as JSON by stdin. Out: what each endpoint answers, as JSON.
import { Client } from "@gradio/client";
import { readFileSync } from "node:fs";

const { url, texts } = JSON.parse(readFileSync(0, "utf8"));
const page = await Client.connect(url);
const answers = {
  classify: (await page.predict("/classify", [texts[0]])).data[0],
  classify_batch: (await page.predict("/classify_batch", [texts])).data[0],
  explain: (await page.predict("/explain", [texts[0]])).data[0],
};
try {
  await page.predict("/classify", [" "]);
} catch (error) {
  answers.refusal = error.message;
}
console.log(JSON.stringify(answers));
process.exit(0);
