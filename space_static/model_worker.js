// The page's side of worker.js: a promise for each call.

/** A worker with a model; `close` ends it. */
export class ModelWorker {
  #calls = new Map(); // id → {resolve, reject, onProgress}
  #lastId = 0;
  #isClosing = false;

  constructor() {
    // A worker from a blob has this page's content security policy; one from a URL would have none.
    const module = new URL("worker.js", import.meta.url).href;
    const source = new Blob([`import ${JSON.stringify(module)};`], { type: "text/javascript" });
    const url = URL.createObjectURL(source);
    this.worker = new Worker(url, { type: "module" });
    this.worker.onmessage = ({ data }) => this.#receive(data);
    this.worker.onerror = (event) => this.#fail(event.message || "its files can't be loaded");
  }

  /**
   * Call a method of worker.js.
   * @param options `onProgress`, called with what the method reports; `signal`, which cancels.
   */
  call(method, argument, { onProgress = () => {}, signal } = {}) {
    const id = (this.#lastId += 1);
    return new Promise((resolve, reject) => {
      const cancel = () => {
        this.worker.postMessage({ cancel: id });
        this.#finish(id);
        reject(new DOMException("Cancelled.", "AbortError"));
      };
      if (signal?.aborted) return cancel();
      signal?.addEventListener("abort", cancel, { once: true });
      this.#calls.set(id, { resolve, reject, onProgress });
      this.worker.postMessage({ id, method, argument });
    });
  }

  close() {
    this.worker.terminate();
  }

  /** End the worker after its last call. */
  closeWhenIdle() {
    this.#isClosing = true;
    if (!this.#calls.size) this.close();
  }

  #finish(id) {
    this.#calls.delete(id);
    if (this.#isClosing && !this.#calls.size) this.close();
  }

  #receive({ id, progress, result, error }) {
    const call = this.#calls.get(id);
    if (!call) return; // cancelled
    if (progress) return call.onProgress(progress);
    this.#finish(id);
    if (error) call.reject(Object.assign(new Error(error.message), { name: error.name }));
    else call.resolve(result);
  }

  #fail(reason) {
    for (const { reject } of this.#calls.values()) reject(new Error(`The model stopped: ${reason}.`));
    this.#calls.clear();
  }
}
