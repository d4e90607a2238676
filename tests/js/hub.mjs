// The npm client against a localhub: push, list, read back. Ends with an error when anything differs.
import assert from "node:assert/strict";
import * as hub from "@huggingface/hub";

const hubUrl = process.env.HF_ENDPOINT;
const repo = { type: "model", name: "demo/from-npm" };
const to = { hubUrl, accessToken: process.env.HF_TOKEN, repo };

assert.equal((await hub.whoAmI(to)).name, "demo");
await hub.createRepo(to);

// A safetensors file: the header's size (u64), the header, the data.
const header = new TextEncoder().encode(
  JSON.stringify({ weight: { dtype: "F32", shape: [2, 2], data_offsets: [0, 16] } }),
);
const weights = new Uint8Array(8 + header.length + 16);
new DataView(weights.buffer).setBigUint64(0, BigInt(header.length), true);
weights.set(header, 8);

for (const [path, content] of [["model.safetensors", weights], ["a b/note.txt", "hello"]]) {
  await hub.uploadFile({ ...to, file: { path, content: new Blob([content]) } });
}

const paths = [];
for await (const file of hub.listFiles({ ...to, recursive: true })) paths.push(file.path);
assert.deepEqual(paths.sort(), [".gitattributes", "a b", "a b/note.txt", "model.safetensors"]);

const text = await hub.downloadFile({ ...to, path: "a b/note.txt" });
assert.equal(await text.text(), "hello");
const bytes = await hub.downloadFile({ ...to, path: "model.safetensors" });
assert.deepEqual(new Uint8Array(await bytes.arrayBuffer()), weights);
assert.equal(await hub.downloadFile({ ...to, path: "none" }), null);

assert.equal(await hub.fileExists({ ...to, path: "model.safetensors" }), true);
assert.equal(await hub.fileExists({ ...to, path: "none" }), false);
const metadata = await hub.parseSafetensorsMetadata(to);
assert.deepEqual(metadata.header.weight.shape, [2, 2]);
assert.equal((await hub.modelInfo({ ...to, name: repo.name })).name, repo.name);

// What Python pushed over xet, read without it.
const other = { type: "model", name: "demo/files-xet" };
const pushed = await hub.downloadFile({ ...to, repo: other, path: "weights.bin" });
assert.equal(pushed.size, 3_000_000);

await hub.deleteRepo(to);
await assert.rejects(hub.modelInfo({ ...to, name: repo.name }));
