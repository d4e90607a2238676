"""The faster worker: it is used if it gives the same scores, and the other worker ends."""

import json
import shutil
import subprocess
from typing import Any

import pytest
from conftest import REPOSITORY

# A browser with fakes: its worker on WebGPU is told what to answer by the first argument.
CODE = """
const outcomes = {
  equal: { scores: [[0.2, 0.8]], difference: 0, seconds: 1 },
  different: { scores: [[0.4, 0.6]], difference: 0, seconds: 1 },
  slower: { scores: [[0.2, 0.8]], difference: 0, seconds: 3 },
};
const [kind] = process.argv.slice(1);
const remembered = {}, workers = [];
globalThis.Worker = class {
  constructor() { this.posted = []; this.ended = false; workers.push(this); }
  postMessage(message) {
    this.posted.push(message);
    const { id, method } = message;
    if (method === "wait") return;
    const answer = kind === "fails" && method === "load"
      ? { error: { message: "no shaders", name: "Error" } } : { result: outcomes[kind] };
    setTimeout(() => this.onmessage({ data: { id, ...answer } }));
  }
  terminate() { this.ended = true; }
};
Object.defineProperty(globalThis, "navigator",
  { value: { gpu: { requestAdapter: async () => ({}) } }, configurable: true });
globalThis.localStorage = {
  getItem: (key) => remembered[key] ?? null, setItem: (key, value) => { remembered[key] = value; },
};
const { fasterWorker } = await import("./webgpu.js");
const { ModelWorker } = await import("./model_worker.js");
const expected = { scores: [[0.2, 0.8]], seconds: 2 };
const faster = await fasterWorker({ revision: "abc" }, expected);
const [gpu] = workers;
const tried = workers.length;
const again = await fasterWorker({ revision: "abc" }, expected);
const old = new ModelWorker(), fake = workers.at(-1);
const calls = [old.call("wait"), old.call("wait")];
old.closeWhenIdle();
const ended = [fake.ended];
for (const { id } of fake.posted) {
  fake.onmessage({ data: { id, result: id } });
  ended.push(fake.ended);
}
const idle = new ModelWorker();
idle.closeWhenIdle();
console.log(JSON.stringify({
  taken: faster !== null, ended: gpu.ended, tried, remembered, again: again !== null,
  oldEnded: ended, answers: await Promise.all(calls), idleEnded: workers.at(-1).ended,
}));
"""


def run(kind: str) -> Any:
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    done = subprocess.run(
        ["node", "--input-type=module", "-e", CODE, kind],
        cwd=REPOSITORY / "space_static", capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["equal", "different", "slower", "fails"])
def test_webgpu_is_used_if_it_gives_the_same_scores_in_less_time(kind: str) -> None:
    found = run(kind)
    is_equal = kind == "equal"
    assert found["tried"] == 1
    assert (found["taken"], found["ended"], found["again"]) == (is_equal, not is_equal, is_equal)
    assert bool(found["remembered"]) is not is_equal  # the next visit does not try again


def test_the_worker_before_ends_after_its_last_call() -> None:
    found = run("equal")
    assert found["oldEnded"] == [False, False, True]
    assert found["answers"] == [1, 2] and found["idleEnded"]
