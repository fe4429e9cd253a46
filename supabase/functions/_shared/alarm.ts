// Deadlines of effects. All of them share a few timers: a timer of its own costs an effect 3 µs, and the
// first `setTimeout` of a process makes Deno load Node's timers, 4 to 7 ms of a cold start, which
// `AbortSignal.timeout` does without.

interface Deadline {
  at: number;
  ring: () => void;
}

export class Alarm {
  #deadlines = new Map<number, Deadline>();
  /** When a timer goes off. One that goes off early sets the next. */
  #timers: number[] = [];

  /** Rings once after so many milliseconds, unless it is taken back. */
  set(effect: number, ms: number, ring: () => void): void {
    const at = performance.now() + ms;
    this.#deadlines.set(effect, { at, ring });
    this.#watch(at);
  }

  /** Takes back what has not rung. */
  clear(effect: number): void {
    this.#deadlines.delete(effect);
  }

  clearAll(): void {
    this.#deadlines.clear();
  }

  #watch(at: number): void {
    if (this.#timers.some((timer) => timer <= at)) return;
    this.#timers.push(at);
    const wait = Math.min(Math.ceil(Math.max(at - performance.now(), 0)), LONGEST);
    AbortSignal.timeout(wait).addEventListener("abort", () => {
      this.#timers.splice(this.#timers.indexOf(at), 1);
      this.#ring();
    });
  }

  #ring(): void {
    const now = performance.now();
    const all = [...this.#deadlines].sort(([, one], [, other]) => one.at - other.at);
    const due = all.filter(([, { at }]) => at <= now);
    if (due.length < all.length) this.#watch(all[due.length][1].at);
    // One may take back another.
    for (const [effect, { ring }] of due) if (this.#deadlines.delete(effect)) ring();
  }
}

/** More, a timer does not take. */
const LONGEST = 2 ** 31 - 1;
