// What the page does in the browser: which answer is shown, addresses of tabs, links to reviews.
//
// Every way to analyze a review (button, key, example, link, row of a file) fills the box and clicks
// the button. `start` numbers the request; `show` drops the answer to any but the newest request.
// The functions return the values of Gradio components; `undefined` leaves a component as it is.
(() => {
  const MAX_LINK = 8000; // RFC 9110, section 4.1: what all recipients should support
  const TABS = ["review", "file", "compare", "about"];
  const query = (selector) => document.querySelector(selector);
  const box = () => query("#review textarea");
  const update = (properties) => ({ __type__: "update", ...properties });
  let requests = 0; // analyses so far
  let running = 0; // analyses that have not ended
  let asked = ""; // the text of the newest analysis
  let failed = false; // whether any of the running analyses has failed
  let intents = 0; // analyses and selected rows so far
  let shown = null; // the newest answer that is shown
  let opening = null; // the example that opened the page, until the user enters the box

  function markStale() {
    const stale = shown !== null && box().value !== shown.text;
    query("#result").toggleAttribute("data-stale", stale);
  }

  function submit(text) {
    const field = box();
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    query("#analyze").click();
  }

  // The input of an analysis: the text in the box, and the number of the request.
  function start() {
    intents += 1;
    requests += 1;
    running += 1;
    query("#result").setAttribute("aria-busy", "true");
    query("#link-problem").hidden = true;
    asked = box().value;
    const text = asked;
    if (linkedReview() !== null && linkedReview() !== text) history.replaceState(null, "", "#review");
    return [text, requests];
  }

  // The result, whether feedback can be given, the feedback and its status.
  function show(answer) {
    if (answer?.request !== requests) return undefined;
    const isNew = shown?.request !== answer.request || shown.failed;
    shown = answer;
    markStale();
    if (!isNew) return [answer, undefined, undefined, undefined];
    return [answer, update({ visible: answer.accepts_feedback }), null, ""];
  }

  // Once no analysis runs: the label of the button and, if the newest one has no result, a message
  // in place of it, without feedback.
  function end(hasFailed = false) {
    running -= 1;
    failed ||= hasFailed;
    if (running > 0) return [undefined, undefined, undefined, undefined];
    query("#result").removeAttribute("aria-busy");
    const isLost = failed && shown?.request !== requests;
    failed = false;
    if (!isLost) return ["Analyze", undefined, undefined, undefined];
    shown = { request: requests, text: asked, html: FAILED, failed: true };
    markStale();
    return ["Analyze", shown, update({ visible: false }), ""];
  }

  const fail = () => end(true);
  const FAILED = '<p class="problem" role="status">The analysis failed. Try again.</p>';

  // The status of feedback, unless another result is shown by now.
  function showFeedback(stored) {
    return stored?.request === shown?.request ? stored.html : undefined;
  }

  // The page opens with an analyzed example, unless the user was faster.
  function openExample(examples) {
    if (!examples?.length || intents || box().value || linkedReview() !== null) return;
    opening = examples[0].text;
    submit(opening);
  }

  const selectRow = () => (intents += 1);

  function openRow(row) {
    if (row?.intent !== intents) return;
    goTo("review");
    submit(row.text);
  }

  // The review in the address: null without one, "" if it is damaged.
  function linkedReview() {
    const match = location.hash.match(/[#&]review=([^&]*)/);
    if (!match) return null;
    try {
      return decodeURIComponent(match[1]);
    } catch {
      return "";
    }
  }

  // A message about the link to the review in the box, which is copied.
  async function copyLink() {
    const text = box().value;
    const message = (kind, html) => `<p class="${kind}" role="status">${html}</p>`;
    if (!text.trim()) return message("problem", "Write or paste a review first.");
    const link = location.href.split("#")[0] + "#review=" + encodeURIComponent(text);
    if (link.length > MAX_LINK) {
      const [length, max] = [link.length, MAX_LINK].map((count) => count.toLocaleString("en-US"));
      return message(
        "problem",
        `Some apps cut off links of more than ${max} characters, and the link to this review ` +
          `would have ${length}. Share its text instead.`,
      );
    }
    try {
      await navigator.clipboard.writeText(link);
      return message("remark", "Copied. The link contains the whole review.");
    } catch {
      const field = `<input readonly aria-label="Link" value="${link.replaceAll('"', "%22")}">`;
      return message("remark", `Your browser doesn't allow this page to copy. Copy the link yourself: ${field}`);
    }
  }

  const tabButton = (name) => query(`button[role="tab"][data-tab-id="${name}"]`);
  const currentTab = () => TABS.find((name) => location.hash.match(/^#(\w+)/)?.[1] === name) ?? "review";

  function goTo(name) {
    if (tabButton(name)?.getAttribute("aria-selected") !== "true") tabButton(name)?.click();
  }

  // A tab was selected: it becomes an entry of the browser's history.
  function selectTab(name) {
    if (currentTab() !== name) history.pushState(null, "", `#${name}`);
  }

  // The address has changed, or the page was opened with one.
  function followAddress() {
    goTo(currentTab());
    const text = linkedReview();
    const problem = query("#link-problem");
    problem.hidden = text !== "";
    problem.textContent = "This link has no review, or was cut off. Ask the sender for the text.";
    if (text) submit(text);
  }

  document.addEventListener("input", (event) => {
    if (event.target === box()) markStale();
  });
  document.addEventListener("focusin", (event) => {
    if (event.target !== box()) return;
    if (opening !== null && box().value === opening) box().select(); // typing replaces the example
    opening = null;
  });
  document.addEventListener("click", (event) => {
    const example = event.target.closest?.("button[data-example]");
    if (example) submit(example.dataset.example);
  });
  window.addEventListener("hashchange", followAddress);
  window.moviePage = {
    start, show, end, fail, showFeedback, openExample, selectRow, openRow, copyLink, selectTab, markStale,
  };
  followAddress();
})();
