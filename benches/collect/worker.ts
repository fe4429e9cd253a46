// `collect-dex` as a worker of its own, under any Deno: 2.1 knows neither `--preload` nor `DENO_SERVE_ADDRESS`.
const port = Number(Deno.env.get("DENO_SERVE_ADDRESS")?.split(":").at(-1));
const serve = Deno.serve as (options: Deno.ServeTcpOptions, handler: Deno.ServeHandler) => Deno.HttpServer;
Object.defineProperty(Deno, "serve", {
  value: (handler: Deno.ServeHandler) => serve({ hostname: "127.0.0.1", port, onListen: () => {} }, handler),
});
Object.assign(globalThis, { EdgeRuntime: { waitUntil: () => {} } });
await import("../../supabase/functions/collect-dex/index.ts");
