/** What type-checks and what does not; checked by tsc, never run. */
import {
  type Codec,
  type Combined,
  combine,
  distinctUntilChanged,
  type ErrorCode,
  EventValueError,
  filter,
  type GetOptions,
  type InferInput,
  type InferOutput,
  isEventValueError,
  json,
  LockstepValue,
  map,
  MemoryValue,
  pipeTo,
  runLatest,
  type RunLatestContext,
  type RunLatestOptions,
  runWhile,
  type Sink,
  type StandardSchemaV1,
  type Value,
  waitFor,
  type Watchable,
  type Watcher,
  type WatchOptions,
} from "../../src/index.ts";
import { type Equal, expectType } from "./expect.ts";

interface Animal {
  readonly name: string;
}
interface Dog extends Animal {
  bark(): void;
}
declare const dogs: MemoryValue<Dog>;
declare const animals: MemoryValue<Animal>;
declare const signal: AbortSignal;

// A value with an initial one always has a value.
{
  const value = new MemoryValue({ initial: 0 });
  expectType<Equal<typeof value.current, number>>();
  const next: number = value.update((n) => n + 1);
  value.set(next);
  // @ts-expect-error -- a number is wanted
  value.set("1");
  // @ts-expect-error -- a number is wanted
  value.update((n) => `${n}`);
  // @ts-expect-error -- the newest value is read only
  value.current = 1;

  const step = new LockstepValue({ initial: "a" });
  expectType<Equal<typeof step.current, string>>();
  expectType<Equal<ReturnType<typeof step.set>, Promise<void>>>();
  const updated: Promise<string> = step.update((text) => text.toUpperCase(), { signal });
  void updated;
  // @ts-expect-error -- no such option
  void step.set("b", { timeoutMs: 1 });
}

// An unset one may have none.
{
  const value = new MemoryValue<number>();
  expectType<Equal<typeof value.current, number | undefined>>();
  value.update((n) => (n ?? 0) + 1);
  // @ts-expect-error -- it may be undefined
  value.update((n) => n + 1);
  const step = new LockstepValue<number>();
  expectType<Equal<typeof step.current, number | undefined>>();
  // @ts-expect-error -- it may be undefined
  void step.update((n) => n + 1);

  const explicit = new MemoryValue<number | undefined>({ initial: undefined });
  expectType<Equal<typeof explicit.current, number | undefined>>();
  const wide = new MemoryValue<Animal>({ initial: { name: "Rex" } });
  expectType<Equal<typeof wide.current, Animal>>();

  // @ts-expect-error -- no such option
  void new MemoryValue({ inital: 0 });
  // @ts-expect-error -- the initial value is a number
  void new MemoryValue<number>({ initial: "0" });
}

// One with an initial value can stand where one that may have none is wanted, and is recognised by instanceof.
{
  const maybe: MemoryValue<number> = new MemoryValue({ initial: 0 });
  const value: Value<number> = maybe;
  expectType<Equal<ReturnType<typeof value.watch>, Watcher<number>>>();
  const unknown: unknown = maybe;
  if (unknown instanceof MemoryValue) unknown.watch().close();
  if (unknown instanceof LockstepValue) unknown.watch().close();
  function take(of: MemoryValue<string>): string | undefined {
    return of.current;
  }
  take(new MemoryValue({ initial: "" }));
  // @ts-expect-error -- it may be unset
  const always: MemoryValue<number, never> = maybe;
  void always;
}

// What is watched may be wider than what is set; what is set may be narrower. A value is both, so it is neither.
{
  const watchable: Watchable<Animal> = dogs;
  const watcher: Watcher<Animal> = dogs.watch();
  const sink: Sink<Dog> = animals;
  void watchable;
  void watcher;
  void sink;
  // @ts-expect-error -- not every animal is a dog
  const narrowed: Watchable<Dog> = animals;
  // @ts-expect-error -- an animal that is no dog could be set
  const widened: Sink<Animal> = dogs;
  // @ts-expect-error -- invariant
  const value: Value<Animal> = dogs;
  // @ts-expect-error -- invariant
  const other: Value<Dog> = animals;
  // @ts-expect-error -- invariant
  const memory: MemoryValue<Animal> = dogs;
  // @ts-expect-error -- invariant
  const codec: Codec<Animal> = json<Dog>();
  void [narrowed, widened, value, other, memory, codec];
}

// A type guard as the filter narrows what get() gives.
async function getsTypes(watcher: Watcher<string | number | undefined>): Promise<void> {
  const any = await watcher.get();
  expectType<Equal<typeof any, string | number | undefined>>();
  const text = await watcher.get({ filter: (value): value is string => typeof value === "string", signal });
  expectType<Equal<typeof text, string>>();
  const same = await watcher.get({ filter: (value) => value !== undefined, backlogOnly: true });
  // TypeScript from 5.5 on infers the guard.
  expectType<Equal<typeof same, string | number>>();
  const plain = await watcher.get({ filter: (value) => value === 1 || Math.random() > 0.5 });
  expectType<Equal<typeof plain, string | number | undefined>>();
  const options: GetOptions<string | number | undefined> = {
    signal: undefined,
    filter: undefined,
    backlogOnly: undefined,
  };
  await watcher.get(options);
  // @ts-expect-error -- the filter is asked about more than strings
  void watcher.get({ filter: (value: string) => value === "" });
  // @ts-expect-error -- no such option
  void watcher.get({ timeoutMs: 5 });
  // @ts-expect-error -- a signal goes into an object
  void watcher.get(signal);
  for await (const value of watcher) expectType<Equal<typeof value, string | number | undefined>>();
  {
    using closing = watcher;
    void closing;
  }
  const watchOptions: WatchOptions = { signal: undefined };
  // @ts-expect-error -- options are read only
  watchOptions.signal = signal;
  // @ts-expect-error -- no such option
  void animals.watch({ filter: () => true });
}

// Operators.
async function operatorsTypes(): Promise<void> {
  const numbers = new MemoryValue<number | undefined>();
  expectType<Equal<ReturnType<typeof map<number, string>>, Watchable<string>>>();
  const texts = map(numbers, (n) => `${n}`);
  expectType<Equal<typeof texts, Watchable<string>>>();
  const guarded = filter(numbers, (n): n is number => n !== undefined);
  expectType<Equal<typeof guarded, Watchable<number>>>();
  const filtered = filter(numbers, (n) => n !== 1 || Math.random() > 0.5);
  expectType<Equal<typeof filtered, Watchable<number | undefined>>>();
  const distinct = distinctUntilChanged(dogs, (a, b) => a.name === b.name);
  expectType<Equal<typeof distinct, Watchable<Dog>>>();

  const found = await waitFor(numbers, (n): n is number => n !== undefined, { signal });
  expectType<Equal<typeof found, number>>();
  const any = await waitFor(numbers, (n) => n === 1 || Math.random() > 0.5);
  expectType<Equal<typeof any, number | undefined>>();

  await pipeTo(dogs, animals, { signal });
  await pipeTo(dogs, (dog) => dog.bark());
  await pipeTo(dogs, new WritableStream<Animal>());
  await pipeTo(texts, new LockstepValue<string>());
  // @ts-expect-error -- not every animal is a dog
  await pipeTo(animals, dogs);
  // @ts-expect-error -- not every animal is a dog
  await pipeTo(animals, (dog: Dog) => dog.bark());
  // @ts-expect-error -- a sink is wanted
  await pipeTo(animals, { write: () => {} });
  // @ts-expect-error -- a watchable is wanted
  map(5, (n) => n);
}

// combine is typed member by member.
async function combineTypes(): Promise<void> {
  const host = new MemoryValue({ initial: "db1" });
  const port = new LockstepValue<number>();
  const object = combine({ host, port });
  expectType<Equal<typeof object, Watchable<{ host: string; port: number }>>>();
  const { host: h, port: p } = await object.watch().get();
  expectType<Equal<typeof h, string>>();
  expectType<Equal<typeof p, number>>();

  const tuple = combine([host, port, map(host, (text) => text.length > 0)]);
  expectType<Equal<typeof tuple, Watchable<[string, number, boolean]>>>();
  const list: readonly Watchable<number>[] = [port];
  expectType<Equal<Combined<typeof list>, number[]>>();
  const [first] = await combine(list).watch().get();
  expectType<Equal<typeof first, number | undefined>>();

  const nested = combine({ tuple, dog: dogs });
  expectType<Equal<typeof nested, Watchable<{ tuple: [string, number, boolean]; dog: Dog }>>>();
  const wider: Watchable<{ tuple: unknown; dog: Animal }> = nested;
  void wider;
  // @ts-expect-error -- members are watchables
  combine({ host, port: 5432 });
  // @ts-expect-error -- members are watchables
  combine([host, "port"]);
}

// isEventValueError narrows to what the code promises.
function errorsTypes(error: unknown): void {
  if (isEventValueError(error)) {
    expectType<Equal<typeof error, EventValueError>>();
    const code: ErrorCode = error.code;
    const key: string | undefined = error.key;
    void [code, key];
    // @ts-expect-error -- only some codes have it
    void error.revision;
  }
  if (isEventValueError(error, "EV_DECODE")) {
    const { key, bytes, revision, code } = error;
    expectType<Equal<typeof code, "EV_DECODE">>();
    const fields: { key: string; bytes: Uint8Array; revision: number } = { key, bytes, revision };
    void fields;
  }
  if (isEventValueError(error, "EV_CONFLICT")) {
    const conflict: { key: string; currentRevision: number } = error;
    void conflict;
    // @ts-expect-error -- that is another code's
    void error.maybeApplied;
  }
  if (isEventValueError(error, "EV_UNAVAILABLE")) expectType<Equal<typeof error.maybeApplied, boolean>>();
  if (isEventValueError(error, "EV_CLOSED")) {
    expectType<Equal<typeof error.code, "EV_CLOSED">>();
    // @ts-expect-error -- that is another code's
    void error.bytes;
  }
  // @ts-expect-error -- no such code
  isEventValueError(error, "EV_NONE");
}

// A schema whose output is not a valid input could not be written back.
declare const plainSchema: StandardSchemaV1<{ port: number }>;
declare const withDefault: StandardSchemaV1<{ port?: number }, { port: number }>;
declare const dateFromText: StandardSchemaV1<string, Date>;
declare const anySchema: StandardSchemaV1<any, { port: number }>;
declare const unknownInput: StandardSchemaV1<unknown, Date>;
{
  const bare = json<number>();
  expectType<Equal<typeof bare, Codec<number>>>();
  const plain = json(plainSchema);
  expectType<Equal<typeof plain, Codec<{ port: number }>>>();
  const defaulted = json(withDefault);
  expectType<Equal<typeof defaulted, Codec<{ port: number }>>>();
  const loose = json(anySchema);
  expectType<Equal<typeof loose, Codec<{ port: number }>>>();
  const coerced = json(unknownInput);
  expectType<Equal<typeof coerced, Codec<Date>>>();
  // @ts-expect-error -- the schema's output is not a valid input
  json(dateFromText);
  // @ts-expect-error -- not a schema
  json({ parse: () => 1 });
  expectType<Equal<InferInput<typeof withDefault>, { port?: number }>>();
  expectType<Equal<InferOutput<typeof withDefault>, { port: number }>>();
}

// Tasks are given what the value holds, narrowed by a guard; `equals` compares what `select` gives.
async function tasksTypes(): Promise<void> {
  const config: Watchable<{ port: number; name: string }> = new MemoryValue({ initial: { port: 1, name: "a" } });
  const latest = runLatest(
    config,
    (value, context) => {
      expectType<Equal<typeof value, { port: number; name: string }>>();
      expectType<Equal<typeof context, RunLatestContext<{ port: number; name: string }>>>();
      expectType<Equal<typeof context.previous, { port: number; name: string } | undefined>>();
    },
    { select: ({ port }) => port, equals: (a, b) => (expectType<Equal<typeof a, number>>(), a === b), signal },
  );
  expectType<Equal<typeof latest, Promise<void>>>();
  await runLatest(config, () => 1, { equals: (a, b) => a.port === b.port });
  await runLatest(dogs, (animal: Animal) => animal.name, { select: (animal: Animal) => animal.name });
  const wide: RunLatestOptions<Animal, string> = { select: ({ name }) => name };
  const narrow: RunLatestOptions<Dog, string> = wide;
  void narrow;
  // @ts-expect-error -- values are compared, not texts
  await runLatest(config, () => {}, { equals: (a: string, b: string) => a === b });
  // @ts-expect-error -- what is selected is compared
  await runLatest(config, () => {}, { select: ({ port }) => port, equals: (a: string, b: string) => a === b });
  // @ts-expect-error -- animals need not be dogs
  await runLatest(animals, (dog: Dog) => dog.bark());
  // @ts-expect-error -- no such option
  await runLatest(config, () => {}, { timeoutMs: 5 });

  const leaders = new MemoryValue<string | undefined>();
  const held = runWhile(
    leaders,
    (name) => name !== undefined,
    (_, context) => expectType<Equal<typeof context.signal, AbortSignal>>(),
    { signal },
  );
  expectType<Equal<typeof held, Promise<void>>>();
  await runWhile(
    animals,
    (animal): animal is Dog => "bark" in animal,
    (dog) => (expectType<Equal<typeof dog, Dog>>(), dog.bark()),
  );
  const yes = (): boolean => true;
  // @ts-expect-error -- a predicate says yes or no
  await runWhile(leaders, (name) => name, yes);
  // @ts-expect-error -- no such option
  await runWhile(leaders, yes, yes, { select: yes });
}

void [getsTypes, operatorsTypes, combineTypes, errorsTypes, tasksTypes];
