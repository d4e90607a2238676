// Files of `vendor/` that are stored compressed.

/** The unpacked bytes of a gzip file, also if the server has unpacked it already. */
export async function fetchUnpacked(name) {
  const response = await fetch(new URL(`vendor/${name}`, import.meta.url));
  if (!response.ok) throw new Error(`${name} can't be loaded: status ${response.status}.`);
  const bytes = await response.arrayBuffer();
  const [first, second] = new Uint8Array(bytes, 0, 2);
  if (first !== 0x1f || second !== 0x8b) return bytes;
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(unpacked).arrayBuffer();
}
