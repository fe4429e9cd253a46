// What each function's module weighs, gzipped as `scripts/build` does, in bytes. Prints JSON.

const root = "supabase/functions";
const weights: Record<string, number> = {};
for (const { name, isDirectory } of Deno.readDirSync(root)) {
  if (!isDirectory || name.startsWith("_")) continue;
  const text: string = JSON.parse(
    Deno.readTextFileSync(`${root}/${name}/wasm/${name.replaceAll("-", "_")}.json`),
  );
  const wasm = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const zipped = new Blob([wasm]).stream().pipeThrough(new CompressionStream("gzip"));
  weights[name] = (await new Response(zipped).arrayBuffer()).byteLength;
}
console.log(JSON.stringify(weights));
