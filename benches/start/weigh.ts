// What is deployed of a function, weighed: all files of its module graph, packages of npm as a whole, as the
// platform's bundle (eszip) carries them. Prints JSON.

const [config, script] = Deno.args;
if (script === undefined) {
  console.error("Usage: deno run -A benches/start/weigh.ts CONFIG SCRIPT");
  Deno.exit(2);
}
const { stdout, success, stderr } = await new Deno.Command(Deno.execPath(), {
  args: ["info", "--json", `--config=${config}`, script],
}).output();
if (!success) throw new Error(new TextDecoder().decode(stderr));
const graph: { modules: { local?: string }[]; npmPackages?: Record<string, { localPath: string }> } = JSON
  .parse(new TextDecoder().decode(stdout));

function files(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory ? files(path) : [path];
  });
}

const own = graph.modules.flatMap(({ local }) => local ?? []);
const npm = Object.values(graph.npmPackages ?? {}).flatMap(({ localPath }) => files(localPath));

/** All together, as an archive is compressed. */
async function gzipped(paths: string[]): Promise<number> {
  const all = new Blob(paths.map((path) => Deno.readFileSync(path)));
  return (await new Response(all.stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer())
    .byteLength;
}

const raw = [...own, ...npm].reduce((sum, path) => sum + Deno.statSync(path).size, 0);
console.log(
  JSON.stringify({ files: own.length + npm.length, raw, gzipped: await gzipped([...own, ...npm]) }),
);
