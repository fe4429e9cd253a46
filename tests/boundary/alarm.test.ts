// The timers that effects share.

import { Alarm } from "../../supabase/functions/_shared/alarm.ts";
import { assert, assertEquals } from "./server.ts";

/** As many timers as were set while it ran. */
async function timers(work: () => Promise<void>): Promise<number> {
  const before = AbortSignal.timeout;
  let count = 0;
  AbortSignal.timeout = (ms) => {
    count += 1;
    return before.call(AbortSignal, ms);
  };
  await work().finally(() => AbortSignal.timeout = before);
  return count;
}

Deno.test("each deadline rings in its turn and not before its time, and what is taken back does not", async () => {
  const alarm = new Alarm();
  const [rang, early]: [number[], number[]] = [[], []];
  const started = performance.now();
  await new Promise<void>((done) => {
    [60, 5, 30, 1, 0, 45].forEach((ms, effect) =>
      alarm.set(effect, ms, () => {
        rang.push(ms);
        if (performance.now() - started < ms) early.push(ms);
        if (ms === 60) done();
      })
    );
    alarm.clear(2);
  });
  assertEquals([rang, early], [[0, 1, 5, 45, 60], []]);
});

Deno.test("deadlines that are far off share one timer, however many near ones come and go", async () => {
  const alarm = new Alarm();
  const count = await timers(async () => {
    for (let effect = 0; effect < 1_000; effect++) alarm.set(effect, 300 + effect % 10, () => {});
    for (let near = 0; near < 5; near++) {
      await new Promise<void>((done) => alarm.set(2_000, 10, done));
    }
    alarm.clearAll();
  });
  // One for all that are far off, and one for each of the near.
  assertEquals(count, 6);
});

Deno.test("whatever rings may set and take back others", async () => {
  const alarm = new Alarm();
  const rang: string[] = [];
  await new Promise<void>((done) => {
    alarm.set(1, 5, () => {
      rang.push("first");
      alarm.clear(3);
      alarm.set(2, 5, () => rang.push("second"));
      alarm.set(4, 20, done);
    });
    alarm.set(3, 15, () => rang.push("never"));
  });
  assert(rang.join() === "first,second", rang.join());
});
