import { getEventListeners } from "node:events";
import { describe, expect, test, vi } from "vitest";
import { LockstepValue, map, MemoryValue, pipeTo } from "../../../src/index.ts";
import { codeOf, observe, rejection, turn, until } from "../../support/promises.ts";

/** A promise and what settles it. */
function deferred(): { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } {
  let resolve!: () => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<void>((...settle) => ([resolve, reject] = settle));
  return { promise, resolve, reject };
}

/** A stream whose writes wait to be let through, one at a time. */
function slowStream(highWaterMark = 1): {
  stream: WritableStream<number>;
  written: number[];
  finish: () => void;
  error: (e: Error) => void;
} {
  const written: number[] = [];
  let busy = deferred();
  let controller!: WritableStreamDefaultController;
  const stream = new WritableStream<number>(
    {
      start(own) {
        controller = own;
      },
      write(value) {
        written.push(value);
        busy = deferred();
        return busy.promise;
      },
    },
    { highWaterMark },
  );
  return { stream, written, finish: () => busy.resolve(), error: (error) => controller.error(error) };
}

describe("pipeTo a function", () => {
  test("calls it with the values that get() would give, and resolves when the source has ended", async () => {
    const source = new MemoryValue({ initial: 1 });
    const seen: number[] = [];
    const piping = observe(pipeTo(source, (n) => seen.push(n)));
    await turn();
    source.set(2);
    await turn();
    source.set(3);
    source.set(4);
    await turn();
    expect([seen, piping()]).toEqual([[1, 2, 3, 4], { state: "pending" }]);
    source.close();
    await turn();
    expect(piping()).toEqual({ state: "fulfilled", value: undefined });
    expect(source.watcherCount).toBe(0);
  });

  test("conflates while its promise is pending, and gives it the newest then", async () => {
    const source = new MemoryValue<number>();
    const seen: number[] = [];
    let busy = deferred();
    const piping = pipeTo(source, (n) => {
      seen.push(n);
      busy = deferred();
      return busy.promise;
    });
    source.set(1);
    await turn();
    for (const n of [2, 3, 4]) source.set(n);
    await turn();
    expect(seen).toEqual([1]);
    busy.resolve();
    await turn();
    expect(seen).toEqual([1, 4]);
    source.set(5);
    source.close();
    busy.resolve();
    await turn();
    expect(seen).toEqual([1, 4, 5]);
    busy.resolve();
    await piping;
  });

  test("that throws, or whose promise rejects, rejects the pipe with that error and closes the watcher", async () => {
    const error = new Error("full");
    const sinks = [
      () => {
        throw error;
      },
      () => Promise.reject(error),
    ];
    for (const sink of sinks) {
      const source = new MemoryValue({ initial: 1 });
      expect(await rejection(pipeTo(source, sink))).toBe(error);
      expect(source.watcherCount).toBe(0);
    }
  });
});

describe("pipeTo a sink", () => {
  test("sets it, with its promise as the pace", async () => {
    const source = new MemoryValue({ initial: 1 });
    const sink = new LockstepValue<number>();
    using watcher = sink.watch();
    const piping = pipeTo(source, sink);
    await turn();
    source.set(2);
    source.set(3);
    expect(await watcher.get()).toBe(1);
    expect(await watcher.get()).toBe(3);
    source.close();
    await piping;
    expect(sink.current).toBe(3);
  });

  test("sets a MemoryValue, which may be watched and piped on", async () => {
    const [first, second, third] = [new MemoryValue<number>(), new MemoryValue<number>(), new MemoryValue<string>()];
    const piping = [
      pipeTo(first, second),
      pipeTo(
        map(second, (n) => `n${n}`),
        third,
      ),
    ];
    for (let n = 1; n <= 100; n++) first.set(n);
    await turn();
    expect(third.current).toBe("n100");
    first.close();
    second.close();
    await Promise.all(piping);
  });

  test("that refuses a value rejects the pipe", async () => {
    const [source, sink] = [new MemoryValue({ initial: 1 }), new MemoryValue<number>()];
    sink.close();
    expect(await codeOf(pipeTo(source, sink))).toBe("EV_CLOSED");
    expect(source.watcherCount).toBe(0);
  });
});

describe("pipeTo a WritableStream", () => {
  test("conflates while it is full: it gets the first value, and the newest when it is ready", async () => {
    const source = new MemoryValue({ initial: 1 });
    const { stream, written, finish } = slowStream();
    const piping = pipeTo(source, stream);
    await until(() => written.length === 1);
    for (let n = 2; n <= 100; n++) source.set(n);
    await turn();
    expect(written).toEqual([1]);
    finish();
    await until(() => written.length === 2);
    expect(written).toEqual([1, 100]);
    source.set(101);
    source.set(102);
    source.close();
    finish();
    await until(() => written.length === 3);
    finish();
    await piping;
    expect(written).toEqual([1, 100, 102]);
  });

  test("does not take a value before the stream is ready for it", async () => {
    const source = new MemoryValue({ initial: 1 });
    const { stream, written, finish } = slowStream();
    const writer = stream.getWriter();
    const before = writer.write(0);
    writer.releaseLock();
    const piping = pipeTo(source, stream);
    await turn();
    source.set(2);
    finish();
    await until(() => written.length === 2);
    expect(written).toEqual([0, 2]);
    source.close();
    finish();
    await Promise.all([before, piping]);
  });

  test("releases it in the end, neither closed nor aborted, whatever ended the pipe", async () => {
    const endings: Record<string, (source: MemoryValue<number>, controller: AbortController) => void> = {
      end: (source) => source.close(),
      abort: (_, controller) => controller.abort("enough"),
      "a failing source": (source) => source.set(-1),
    };
    for (const [name, end] of Object.entries(endings)) {
      const controller = new AbortController();
      const source = new MemoryValue({ initial: 1 });
      const failing = map(source, (n) => {
        if (n < 0) throw new Error("negative");
        return n;
      });
      const written: number[] = [];
      const stream = new WritableStream<number>({ write: (n) => void written.push(n) });
      const piping = observe(pipeTo(failing, stream, { signal: controller.signal }));
      await until(() => written.length === 1);
      expect(stream.locked).toBe(true);
      end(source, controller);
      await until(() => piping().state !== "pending");
      expect([name, stream.locked]).toEqual([name, false]);
      const writer = stream.getWriter();
      await writer.write(9);
      await writer.close();
      expect(written).toEqual([1, 9]);
      expect(source.watcherCount).toBe(0);
    }
  });

  test("that fails while nothing is written rejects the pipe at once with its error", async () => {
    const source = new MemoryValue<number>();
    const { stream, error } = slowStream();
    const piping = pipeTo(source, stream);
    await turn();
    error(new Error("broken"));
    expect(await rejection(piping)).toEqual(new Error("broken"));
    expect(stream.locked).toBe(false);
    expect(source.watcherCount).toBe(0);
  });

  test("whose write fails, or that had failed or was closed before, rejects the pipe", async () => {
    const source = new MemoryValue({ initial: 1 });
    const failing = new WritableStream<number>({ write: () => Promise.reject(new Error("full")) });
    expect(await rejection(pipeTo(source, failing))).toEqual(new Error("full"));
    expect(await rejection(pipeTo(source, failing))).toEqual(new Error("full"));
    const closed = new WritableStream<number>();
    await closed.close();
    // A TypeError by the standard; Node 20 has an assertion fail.
    expect(await rejection(pipeTo(source, closed))).toBeInstanceOf(Error);
    expect([failing.locked, closed.locked, source.watcherCount]).toEqual([false, false, 0]);
  });

  test("that is locked is a TypeError at the call, and opens no watcher", () => {
    const source = new MemoryValue({ initial: 1 });
    const stream = new WritableStream<number>();
    stream.getWriter();
    expect(() => pipeTo(source, stream)).toThrow(TypeError);
    expect(source.watcherCount).toBe(0);
  });
});

describe("aborting pipeTo", () => {
  test("rejects with signal.reason while it waits for a value, and closes the watcher", async () => {
    const source = new MemoryValue<number>();
    const controller = new AbortController();
    const sink = vi.fn<(n: number) => void>();
    const piping = pipeTo(source, sink, { signal: controller.signal });
    await turn();
    const reason = new Error("enough");
    controller.abort(reason);
    source.set(1);
    expect(await rejection(piping)).toBe(reason);
    expect([sink.mock.calls.length, source.watcherCount]).toEqual([0, 0]);
  });

  test("rejects at once while the sink is busy; what becomes of that write goes unnoticed", async () => {
    const source = new MemoryValue({ initial: 1 });
    const controller = new AbortController();
    const busy = deferred();
    const { stream, written, error } = slowStream();
    const pipes = [
      pipeTo(source, () => busy.promise, { signal: controller.signal }),
      pipeTo(source, stream, { signal: controller.signal }),
    ];
    await until(() => written.length === 1);
    controller.abort("enough");
    expect(await Promise.all(pipes.map(rejection))).toEqual(["enough", "enough"]);
    expect([stream.locked, source.watcherCount]).toEqual([false, 0]);
    busy.reject(new Error("late"));
    error(new Error("late"));
    // vitest fails the run on an unhandled rejection, which is known when the loop has turned.
    await turn();
  });

  test("writes nothing more, not even a value that was set before the abort in the same tick", async () => {
    const source = new MemoryValue<number>();
    const controller = new AbortController();
    const sink = vi.fn<(n: number) => void>();
    const piping = pipeTo(source, sink, { signal: controller.signal });
    await turn();
    source.set(1);
    controller.abort("enough");
    expect(await rejection(piping)).toBe("enough");
    await turn();
    expect(sink).not.toHaveBeenCalled();
  });

  test("beforehand opens nothing, writes nothing, and releases the stream", async () => {
    const source = new MemoryValue({ initial: 1 });
    const watch = vi.spyOn(source, "watch");
    const written: number[] = [];
    const stream = new WritableStream<number>({ write: (n) => void written.push(n) });
    expect(await rejection(pipeTo(source, stream, { signal: AbortSignal.abort("before") }))).toBe("before");
    await turn();
    expect([written, stream.locked, watch.mock.calls.length]).toEqual([[], false, 0]);
  });

  test("leaves no listener on the signal, nor does the end of the source", async () => {
    const controller = new AbortController();
    const ended = new MemoryValue({ initial: 1 });
    const piping = pipeTo(ended, () => {}, { signal: controller.signal });
    expect(getEventListeners(controller.signal, "abort")).toHaveLength(1);
    ended.close();
    await piping;
    await turn();
    expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
  });
});

describe("pipeTo", () => {
  test("misses nothing from the call on", async () => {
    const source = new LockstepValue<number>();
    const seen: number[] = [];
    const piping = pipeTo(source, (n) => seen.push(n));
    await Promise.all([source.set(1), source.set(2), source.set(3)]);
    source.close();
    await piping;
    expect(seen).toEqual([1, 2, 3]);
  });

  test("rejects with an error of the source, and closes its watcher", async () => {
    const source = new MemoryValue({ initial: 1 });
    const error = new Error("cannot");
    const failing = map(source, () => {
      throw error;
    });
    expect(await rejection(pipeTo(failing, () => {}))).toBe(error);
    expect(source.watcherCount).toBe(0);
  });

  test("refuses bad input with a TypeError at the call, and opens nothing", () => {
    const source = new MemoryValue({ initial: 1 });
    const { signal } = new AbortController();
    const stream = new WritableStream<number>();
    for (const sink of [undefined, null, 1, {}, { set: 1 }])
      expect(() => pipeTo(source, sink as never)).toThrow(TypeError);
    for (const wrong of [undefined, null, {}]) expect(() => pipeTo(wrong as never, stream)).toThrow(TypeError);
    for (const options of [null, 1, signal, { timeoutMs: 5 }, { signal: {} }]) {
      expect(() => pipeTo(source, stream, options as never)).toThrow(TypeError);
    }
    expect([source.watcherCount, stream.locked]).toEqual([0, false]);
  });
});
