// What each module of the functions weighs, gzipped as `scripts/build` does, in bytes. Prints JSON.

const root = "supabase/functions";

async function gzipped(path: string): Promise<number> {
  const wasm = Uint8Array.fromBase64(JSON.parse(Deno.readTextFileSync(path)));
  const zipped = new Blob([wasm]).stream().pipeThrough(new CompressionStream("gzip"));
  return (await new Response(zipped).arrayBuffer()).byteLength;
}

const weights: Record<string, number> = {};
for (const { name, isDirectory } of Deno.readDirSync(root)) {
  if (!isDirectory || name.startsWith("_")) continue;
  const module = name.replaceAll("-", "_");
  weights[name] = await gzipped(`${root}/${name}/wasm/${module}.json`);
}
console.log(JSON.stringify(weights));
