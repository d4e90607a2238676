// The Review tab: the prediction for one review, the effect of each sentence, and a share link.
import { selectExamples } from "./examples.js";
import { attribution, shorten } from "./explanation.js";
import { count, element, predictionCard, progress, sentence } from "./views.js";

const EMPTY = "The prediction, its probability and the effect of each sentence appear here. " +
  "Paste a review or choose an example.";
const WAITING = "The review will be analyzed as soon as the model is loaded.";
const MAX_LINK = 8_000; // RFC 9110, section 4.1: what all recipients should support
const INCOMPLETE = "The rest of the analysis failed. Try again.";
const MAX_SUBJECT = 80; // characters of a review that name it above its prediction
const LINK = /[#&]review=([^&]*)/; // behind the "#", which browsers never send to a server

const get = (id) => document.getElementById(id);

/** The tab; `analyze` runs again with the text in the box. */
export class Review {
  #model; // a function: the present ModelWorker
  #ready; // a promise of {unsureBelow}
  #isReady = false;
  #current = null; // AbortController of the last analysis
  #analyzed = null; // the text that the card is about

  constructor(model, ready) {
    this.#model = model;
    this.#ready = ready;
    ready.then(() => (this.#isReady = true), () => {});
    this.box = get("review");
    this.result = get("result");
    this.result.append(element("p.empty", {}, EMPTY));
    get("analyze").onclick = () => this.analyze();
    get("share").onclick = () => this.share();
    this.box.onkeydown = (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.analyze();
    };
    this.box.oninput = () => this.#markStale();
  }

  /** Analyze a text that is not typed: an example, or the review of a link. */
  open(text) {
    this.box.value = text;
    return this.analyze();
  }

  /**
   * Offer an example of each kind, as they are found.
   * @param labels The model's.
   * @param opens Whether the first one opens the page, unless the user was faster.
   */
  async listExamples(labels, opens) {
    const candidates = await (await fetch("examples.json")).json();
    const predict = (text) => this.#model().call("predict", text);
    for await (const [kind, text] of selectExamples(candidates, labels, predict)) {
      const isFirst = get("examples").hidden;
      get("examples").append(element("button", { onclick: () => this.open(text) }, kind));
      get("examples").hidden = false;
      if (isFirst && opens) this.#openExample(text);
    }
  }

  #openExample(text) {
    if (this.#current || this.box.value) return;
    this.open(text);
    this.box.onfocus = () => { // typing replaces the example
      if (this.box.value === text) this.box.select();
      this.box.onfocus = null;
    };
  }

  /** The review in the page's address: null without one, "" if it is damaged. */
  static inAddress() {
    try {
      const match = LINK.exec(location.hash);
      return match && decodeURIComponent(match[1]);
    } catch {
      return "";
    }
  }

  /** Analyze the text in the box; an analysis that still runs is cancelled. */
  async analyze() {
    this.#current?.abort();
    const { signal } = (this.#current = new AbortController());
    const text = this.box.value;
    setBusy(true);
    this.#markStale();
    const linked = Review.inAddress();
    if (linked !== null && linked !== text) { // a reload would open the other review
      history.replaceState(null, "", location.pathname + location.search);
      get("link-problem").hidden = true;
    }
    if (!this.#isReady) this.#show(null, sentence(WAITING, "remark"));
    try {
      const { unsureBelow } = await this.#ready;
      const prediction = await this.#model().call("predict", text, { signal });
      const area = element("div");
      this.#show(text, element("p.subject", {}, shorten(text, MAX_SUBJECT)),
        predictionCard(prediction, unsureBelow), area);
      await this.#explain(text, signal, area);
    } catch (error) {
      if (!signal.aborted) this.#show(text, sentence(error.message));
    } finally {
      if (!signal.aborted) setBusy(false);
    }
  }

  /** Show the effect of each sentence; the prediction stays if that fails. */
  async #explain(text, signal, area) {
    const onProgress = ({ done, total }) =>
      area.replaceChildren(progress("Analyzing sentences…", done, total));
    try {
      const explanation = await this.#model().call("explain", text, { signal, onProgress });
      area.replaceChildren(attribution(text, explanation) ?? "");
    } catch (error) {
      if (signal.aborted) return;
      console.warn(error);
      area.replaceChildren(sentence(INCOMPLETE));
    }
  }

  /** Show and copy a link to the review in the box. */
  async share() {
    const text = this.box.value;
    const link = `${location.href.split("#")[0]}#review=${encodeURIComponent(text)}`;
    if (!text.trim()) return this.#answer(sentence("Write or paste a review first."));
    if (link.length > MAX_LINK) {
      return this.#answer(sentence(`Some apps cut off links of more than ${count(MAX_LINK)} ` +
        `characters, and the link to this review would have ${count(link.length)}. Share its text ` +
        "instead."));
    }
    try {
      await navigator.clipboard.writeText(link);
      this.#answer(sentence("Copied. The link contains the whole review.", "remark"));
    } catch {
      this.#answer(sentence("Your browser doesn't allow this page to copy. Copy the link yourself:", "remark"),
        element("input", { "aria-label": "Link", readonly: "", value: link }));
    }
  }

  #answer(...elements) {
    get("shared").replaceChildren(...elements);
  }

  #show(text, ...elements) {
    this.#analyzed = text;
    this.result.replaceChildren(...elements);
    get("shared").replaceChildren();
    this.#markStale();
  }

  /** Dim a result that is about another text than the one in the box. */
  #markStale() {
    const stale = this.#analyzed !== null && this.box.value !== this.#analyzed;
    this.result.toggleAttribute("data-stale", stale);
  }
}

function setBusy(busy) {
  get("analyze").textContent = busy ? "Analyzing…" : "Analyze";
  get("analyze").setAttribute("aria-busy", busy);
}
