// What the stack tells a worker, and what the prelude keeps of Deno before it narrows it.

interface Host {
  /** The folder that the function sees as `/tmp`. */
  tmp: string;
  /** The folders of functions on this machine. */
  sources: string[];
  /** Patterns of the project's files that the function may read: `static_files` in `config.toml`. */
  staticFiles: string[];
  /** Environment variables that are Deno's or the stack's own. */
  hidden: string[];
  /** Bytes of memory at which the worker is killed. */
  memory?: number | null;
  /** The address below which the functions of this stack are called. */
  functions: string;
  /** How many calls of other functions a trace may cause in a minute. */
  callsPerMinute: number;
}

/** The variable that holds all of it. */
const VARIABLE = "FERRY_WORKER";

/** A place in the asynchronous flow of a request. */
interface AsyncVariable<T> {
  enter(value: T): unknown;
  get(): T | undefined;
}

/** The part of Deno's own machinery that the prelude needs. The platform's runtime is built on the same. */
interface Core {
  setPromiseHooks(
    created: ((promise: Promise<unknown>) => void) | null,
    before: null,
    after: null,
    resolved: ((promise: Promise<unknown>) => void) | null,
  ): void;
  addMainModuleHandler(handler: (module: Record<string, unknown>) => void): void;
  setAsyncContext(context: unknown): void;
  AsyncVariable: new <T>() => AsyncVariable<T>;
}

/** `Deno` as it was: the function gets a narrower one. */
export const deno: typeof Deno = Deno;

/** Deno's internals, which the function does not see. */
export const internals: { core: Core } & Record<string, unknown> =
  // deno-lint-ignore no-explicit-any
  (Deno as any)[(Deno as any).internal];

export const host: Host = JSON.parse(deno.env.get(VARIABLE) ?? "{}");
host.hidden.push(VARIABLE);
