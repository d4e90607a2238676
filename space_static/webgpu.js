// WebGPU, where it is available and gives the answers of WebAssembly in less time. Reports say that
// int8 models differ on it: https://github.com/huggingface/transformers.js/issues
import { MAX_DIFFERENCE, largestDifference } from "./golden.js";
import { ModelWorker } from "./model_worker.js";

/**
 * A worker on WebGPU that passed the self-test and was faster; else null.
 * @param settings As for `Classifier.load`.
 * @param expected The outcome of `selfTest` on WebAssembly.
 * @returns `worker`, and the `outcome` of its self-test.
 */
export async function fasterWorker(settings, expected) {
  if (!(await navigator.gpu?.requestAdapter().catch(() => null))) return null;
  if (recall(settings) === "slower or different") return null;
  const worker = new ModelWorker();
  try {
    await worker.call("load", { ...settings, device: "webgpu" });
    await worker.call("selfTest"); // the first pass compiles shaders
    const outcome = await worker.call("selfTest");
    const equal = outcome.difference <= MAX_DIFFERENCE &&
      largestDifference(outcome.scores, expected.scores) <= MAX_DIFFERENCE;
    if (equal && outcome.seconds < expected.seconds) return { worker, outcome };
  } catch {
    // WebGPU is an option only
  }
  worker.close();
  remember(settings, "slower or different");
  return null;
}

// Storage may be disabled; then every visit tries again.
function recall({ revision }) {
  try {
    return localStorage.getItem(`webgpu ${revision}`);
  } catch {
    return null;
  }
}

function remember({ revision }, outcome) {
  try {
    localStorage.setItem(`webgpu ${revision}`, outcome);
  } catch {
    // see recall
  }
}
