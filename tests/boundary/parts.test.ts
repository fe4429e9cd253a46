// What scripts/split.ts took out of a module is loaded when it is first called, and once.

import { compile, type Packed } from "../../supabase/functions/_shared/module.ts";
import { handler, Shim } from "../../supabase/functions/_shared/wasm.ts";
import { assert, assertEquals } from "./server.ts";

const ROOTS = ["supabase/functions", "tests/functions"];

/** A module that counts how often its later part is loaded. */
function counted(module: Packed): { packed: Packed; loads: () => number } {
  let loads = 0;
  const packed = {
    ...module,
    get later() {
      loads++;
      return module.later;
    },
  };
  return { packed, loads: () => loads };
}

async function modules(): Promise<Packed[]> {
  const folders = ROOTS.flatMap((root) =>
    [...Deno.readDirSync(root)].filter(({ name }) => !name.startsWith("_")).map(({ name }) => [root, name])
  );
  return await Promise.all(
    folders.map(([root, name]) => import(`../../${root}/${name}/wasm/${name.replaceAll("-", "_")}.ts`)),
  );
}

Deno.test("a start leaves the later part alone", async () => {
  const split = (await modules()).filter(({ later }) => later !== undefined);
  assert(split.length > 0, "no module is split");
  for (const module of split) {
    const { packed, loads } = counted({ ...module });
    // The constructor starts the module.
    new Shim(compile(packed)(), {});
    assertEquals([module.name, loads()], [module.name, 0]);
  }
});

Deno.test("the first call into the later part loads it, and a new instance does so again", async () => {
  const module: Packed = await import("../functions/boundary/wasm/boundary.ts");
  const { packed, loads } = counted({ ...module });
  const handle = handler(packed, { secrets: [] });
  const ask = async (path: string) => {
    const reply = await handle(new Request(`http://localhost/boundary${path}`));
    return [reply.status, (await reply.json()).code];
  };
  assertEquals((await handle(new Request("http://localhost/boundary/sleep?ms=1"))).status, 200);
  assertEquals(loads(), 0);
  assertEquals(await ask("/crash?how=not"), [400, "BAD_REQUEST"]);
  assertEquals(await ask("/crash?how=not"), [400, "BAD_REQUEST"]);
  assertEquals(loads(), 1);
  const print = console.error;
  console.error = () => {};
  assertEquals(await ask("/crash?how=at-once"), [500, "CRASHED"]);
  console.error = print;
  assertEquals(loads(), 1);
  assertEquals(await ask("/crash?how=not"), [400, "BAD_REQUEST"]);
  assertEquals(loads(), 2);
});
