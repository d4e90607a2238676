// The page: starts the model, the tabs and the service worker.
import { connectFileTab } from "./file.js";
import { MAX_DIFFERENCE } from "./golden.js";
import { ModelWorker } from "./model_worker.js";
import { Review } from "./review.js";
import { scaleOf } from "./scale.js";
import { connectTabs, showTab } from "./tabs.js";
import { element, progress, sentence } from "./views.js";
import { fasterWorker } from "./webgpu.js";

const get = (id) => document.getElementById(id);
const { model, revision, dtype, endpoint } = document.documentElement.dataset;
const settings = { model, revision, dtype, endpoint, device: "wasm" };
const address = `${endpoint}/${model}/tree/${revision}`;

let worker = new ModelWorker();
let offlineProblem = null; // why the page doesn't work offline
let about = [null, "not finished"]; // what the About tab tells
const ready = worker.call("load", settings, { onProgress: showDownload });
const review = new Review(() => worker, ready);
connectFileTab(() => worker, ready);
connectTabs();
openAddress();
addEventListener("hashchange", openAddress);
start();

/** Open what the address names: a shared review, or a tab. */
function openAddress() {
  const text = Review.inAddress();
  get("link-problem").hidden = text !== "";
  if (text !== null) {
    showTab("review");
    if (text) review.open(text);
  } else {
    showTab(location.hash.slice(1) || "review");
  }
}

async function start() {
  showAbout(...about);
  let labels;
  try {
    ({ labels } = await ready);
  } catch (error) {
    const reason = `The model ${model} can't be loaded from ${endpoint}: ${error.message}`;
    get("status").replaceChildren(sentence(reason),
      element("button", { onclick: () => location.reload() }, "Try again"));
    return;
  }
  const scale = scaleOf(labels);
  if (scale) {
    get("question").textContent =
      `How many ${scale.unit} does this review give, and which sentences decide it?`;
  }
  const label = `${model} (${revision.slice(0, 7)})`;
  get("status").replaceChildren("Model: ", element("a", { href: address }, label));
  const examples = review.listExamples(labels, !location.hash).catch((error) => console.error(error));
  // Relative to the page, so that it also works below a path.
  registerServiceWorker();
  forgetOtherRevisions().catch((error) => console.error(error));
  await examples; // between their predictions, the self-test would delay them
  await test();
}

/** Keep the page's files for offline use; the About tab tells if that fails. */
async function registerServiceWorker() {
  try {
    if (!navigator.serviceWorker) throw new Error("service workers are disabled");
    await navigator.serviceWorker.register("service_worker.js");
  } catch (error) {
    offlineProblem = error.message;
    showAbout(...about);
  }
}

/** Free the space of earlier revisions of the model, which this page never loads again. */
async function forgetOtherRevisions() {
  const prefix = `${endpoint}/${model}/resolve/`;
  for (const name of await caches.keys()) {
    const cache = await caches.open(name);
    for (const { url } of await cache.keys()) {
      const isOld = url.startsWith(prefix) && !url.startsWith(`${prefix}${revision}/`);
      if (isOld) await cache.delete(url);
    }
  }
}

/** Compare the scores with the published ones; then use WebGPU if it gives the same, faster. */
async function test() {
  let outcome;
  try {
    outcome = await worker.call("selfTest");
  } catch (error) {
    return showAbout("WebAssembly", `it could not run: ${error.message}`);
  }
  showAbout("WebAssembly", describe(outcome));
  if (outcome === null) return;
  if (outcome.difference > MAX_DIFFERENCE) {
    get("warning").replaceChildren(sentence("The self-test failed: in this browser the model's " +
      `probabilities differ from the published ones by up to ${outcome.difference.toFixed(3)}. ` +
      "Predictions on this page may be wrong. Try another browser or device."));
    return;
  }
  const faster = await fasterWorker(settings, outcome);
  if (faster === null) return;
  worker.closeWhenIdle(); // it finishes what it has begun
  worker = faster.worker;
  showAbout("WebGPU", describe(faster.outcome));
}

function describe(outcome) {
  if (outcome === null) return "not possible, as the model has no golden scores.";
  const { scores, difference } = outcome;
  const result = difference <= MAX_DIFFERENCE ? "passed" : "failed";
  return `${result}. On ${scores.length} reviews the probabilities differ from the published ones ` +
    `by at most ${difference < 1e-6 ? "0.000001" : difference.toPrecision(2)}.`;
}

function showDownload({ loaded, total }) {
  const megabytes = (bytes) => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
  const message = `Loading the model: ${megabytes(loaded)} of ${megabytes(total)} MB`;
  get("status").replaceChildren(progress(message, loaded, total));
}

function showAbout(runtime, outcome) {
  about = [runtime, outcome];
  const paragraphs = [
    ["Privacy", "Reviews and files are analyzed in this browser. The page sends no data: its " +
      "content security policy allows connections only to its own files and to the Hub that the " +
      "model comes from. A shared link carries its review behind the “#”, which browsers never " +
      "send to a server."],
    ["Offline", offlineProblem === null
      ? "After the first visit the page works without a network. The browser keeps the model and " +
        "the page's files until you clear the site's data."
      : `In this browser the page needs a network: its files could not be kept (${offlineProblem}).`],
    ["Limits", "The model was trained on movie reviews. A prediction is a probability, not a fact: " +
      "when the model is uncertain, read the review. The effect of a sentence is what changes when " +
      "it is left out."],
    ["Runtime", runtime ?? "The model is being loaded."],
    ["Self-test", outcome.charAt(0).toUpperCase() + outcome.slice(1)],
  ];
  get("about").replaceChildren(
    element("h2", {}, "Model"),
    element("p", {}, element("a", { href: address }, model), `, commit ${revision.slice(0, 12)}. ` +
      "Its card says what it was trained on and how accurate it is."),
    ...paragraphs.flatMap(([title, text]) => [element("h2", {}, title), element("p", {}, text)]));
}
