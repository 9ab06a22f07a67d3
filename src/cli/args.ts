/** The command line, checked as a whole before anything is done: what it asks for, or a {@link UsageError}. */
import { parseArgs } from "node:util";
import { parseEndpoints } from "../etcd/endpoint.ts";
import { mostMs } from "../internal/backoff.ts";
import type { CommandLine } from "./child.ts";
import { UsageError } from "./exit.ts";

export type CommandName = "watch" | "get" | "set" | "delete" | "run" | "lease";
export const commandNames: readonly CommandName[] = ["watch", "get", "set", "delete", "run", "lease"];

type Environment = Readonly<Record<string, string | undefined>>;

/** How to reach the store. */
export interface StoreOptions {
  /** URLs of members, all valid. */
  readonly endpoints: readonly string[];
  readonly namespace: string;
  readonly user: string | undefined;
  readonly cacert: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly serverName: string | undefined;
}

/** Where a value to store comes from. */
export type ValueSource =
  | { readonly from: "argument"; readonly text: string }
  | { readonly from: "stdin" }
  | { readonly from: "file"; readonly path: string };

interface StoreCommand<Name extends CommandName> {
  readonly command: Name;
  readonly store: StoreOptions;
}

/** A command that is about a key, and tells of it. */
interface Command<Name extends CommandName> extends StoreCommand<Name> {
  readonly key: string;
  readonly json: boolean;
}

/** 0: no limit. */
interface Timed {
  readonly timeoutMs: number;
}

export interface WatchCommand extends Command<"watch"> {
  readonly prefix: boolean;
  readonly base64: boolean;
}

export interface GetCommand extends Command<"get">, Timed {
  readonly prefix: boolean;
  readonly base64: boolean;
}

export interface SetCommand extends Command<"set">, Timed {
  readonly value: ValueSource;
  readonly base64: boolean;
}

export interface DeleteCommand extends Command<"delete">, Timed {}

export interface RunCommand extends StoreCommand<"run"> {
  readonly key: string;
  /** The value to run with; undefined: any. */
  readonly equals: string | undefined;
  readonly graceMs: number;
  readonly commandLine: CommandLine;
}

export interface LeaseCommand extends StoreCommand<"lease">, Timed {
  readonly ttlMs: number;
  /** What to write; no key twice. */
  readonly puts: ReadonlyArray<{ readonly key: string; readonly value: string }>;
  readonly graceMs: number;
  readonly commandLine: CommandLine | undefined;
}

/** What a command line asks for. */
export type Invocation =
  | { readonly command: "help"; readonly topic: CommandName | undefined }
  | { readonly command: "version" }
  | WatchCommand
  | GetCommand
  | SetCommand
  | DeleteCommand
  | RunCommand
  | LeaseCommand;

const options = {
  store: { type: "string", multiple: true },
  namespace: { type: "string" },
  user: { type: "string" },
  cacert: { type: "string" },
  cert: { type: "string" },
  key: { type: "string" },
  "server-name": { type: "string" },
  prefix: { type: "boolean" },
  base64: { type: "boolean" },
  json: { type: "boolean" },
  timeout: { type: "string" },
  file: { type: "string" },
  when: { type: "string" },
  equals: { type: "string" },
  ttl: { type: "string" },
  put: { type: "string", multiple: true },
  grace: { type: "string" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean" },
} as const;

type Values = ReturnType<typeof parse>["values"];

const everyCommand = ["store", "namespace", "user", "cacert", "cert", "key", "server-name"] as const;
const commandOptions: Readonly<Record<CommandName, readonly (keyof Values)[]>> = {
  watch: [...everyCommand, "json", "prefix", "base64"],
  get: [...everyCommand, "json", "prefix", "base64", "timeout"],
  set: [...everyCommand, "json", "base64", "timeout", "file"],
  delete: [...everyCommand, "json", "timeout"],
  run: [...everyCommand, "when", "equals", "grace"],
  lease: [...everyCommand, "ttl", "put", "grace", "timeout"],
};

const defaultTimeout = "5s";
const defaultGrace = "10s";

/** Reads the arguments and the environment. @throws {@link UsageError} */
export function parseCommandLine(args: readonly string[], env: Environment): Invocation {
  // Who asks for help gets it, whatever else is missing or wrong.
  const [first, ...rest] = args;
  const wantsHelp = untilTerminator(args).some((arg) => arg === "--help" || arg === "-h");
  if (wantsHelp || first === "help") {
    const topic = untilTerminator(first === "help" ? rest : args).find(isCommandName);
    return { command: "help", topic };
  }

  const { values, positionals } = parse(args);
  if (values.version === true) return { command: "version" };
  const [command, key, value, ...surplus] = positionals;
  if (command === undefined) throw new UsageError(`missing command: one of ${commandNames.join(", ")}`);
  if (!isCommandName(command))
    throw new UsageError(`unknown command ${quote(command)}: there are ${commandNames.join(", ")}`);
  for (const name of Object.keys(values) as (keyof Values)[]) {
    if (!commandOptions[command].includes(name)) throw new UsageError(`--${name} does not apply to ${command}`);
  }
  if (command === "run" || command === "lease") {
    // What is behind -- is the command to run, and the last of the positionals.
    const commandLine = args.slice(untilTerminator(args).length + 1);
    const unexpected = positionals.slice(1, positionals.length - commandLine.length)[0];
    if (unexpected !== undefined)
      throw new UsageError(`${command}: unexpected argument ${quote(unexpected)}; the command to run goes after --`);
    for (const argument of commandLine) checkText(argument, `${command}: the command to run is not UTF-8 text`);
    return command === "run" ? runCommand(values, commandLine, env) : leaseCommand(values, commandLine, env);
  }
  if (key === undefined) throw new UsageError(`${command}: missing <key>`);
  if (key === "" && values.prefix !== true) throw new UsageError(`${command}: <key> must not be empty`);
  checkText(key, `${command}: <key> is not UTF-8 text`);
  const unexpected = command === "set" ? surplus[0] : value;
  if (unexpected !== undefined) throw new UsageError(`${command}: unexpected argument ${quote(unexpected)}`);

  const common = { key, json: values.json === true, store: storeOptions(values, env) };
  const prefix = values.prefix === true;
  const base64 = values.base64 === true;
  if (command === "watch") return { command, ...common, prefix: prefix || key.endsWith("/"), base64 };
  const timeoutMs = parseDuration(values.timeout ?? defaultTimeout, "--timeout");
  switch (command) {
    case "get":
      return { command, ...common, prefix, base64, timeoutMs };
    case "set":
      return { command, ...common, value: valueSource(value, values.file), base64, timeoutMs };
    case "delete":
      return { command, ...common, timeoutMs };
    default:
      return command satisfies never;
  }
}

function runCommand(values: Values, commandLine: readonly string[], env: Environment): RunCommand {
  const { when: key, equals, grace = defaultGrace } = values;
  if (key === undefined) throw new UsageError("run: missing --when KEY");
  if (key === "") throw new UsageError("run: the key of --when must not be empty");
  checkText(key, "run: --when is not UTF-8 text");
  checkText(equals ?? "", "run: --equals is not UTF-8 text");
  if (!isCommandLine(commandLine)) throw new UsageError("run: missing the command to run, which goes after --");
  const graceMs = parseDuration(grace, "--grace");
  return { command: "run", store: storeOptions(values, env), key, equals, graceMs, commandLine };
}

function leaseCommand(values: Values, given: readonly string[], env: Environment): LeaseCommand {
  const { ttl, put = [], grace, timeout = defaultTimeout } = values;
  if (ttl === undefined) throw new UsageError("lease: missing --ttl TIME");
  const ttlMs = parseDuration(ttl, "--ttl");
  if (ttlMs === 0) throw new UsageError("--ttl must be longer than 0");
  const puts = put.map(parsePut);
  const twice = puts.find(({ key }, i) => puts.findIndex((other) => other.key === key) !== i);
  if (twice !== undefined) throw new UsageError(`--put has the key ${quote(twice.key)} twice`);
  const commandLine = isCommandLine(given) ? given : undefined;
  if (commandLine === undefined && grace !== undefined)
    throw new UsageError("--grace needs a command to run, after --");
  const graceMs = parseDuration(grace ?? defaultGrace, "--grace");
  const timeoutMs = parseDuration(timeout, "--timeout");
  return { command: "lease", store: storeOptions(values, env), ttlMs, puts, graceMs, timeoutMs, commandLine };
}

function parsePut(text: string): { key: string; value: string } {
  checkText(text, "--put is not UTF-8 text");
  const end = text.indexOf("=");
  if (end <= 0) throw new UsageError(`--put must be KEY=VALUE, not ${quote(text)}`);
  return { key: text.slice(0, end), value: text.slice(end + 1) };
}

function isCommandLine(args: readonly string[]): args is CommandLine {
  return args.length > 0;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const name = /'(?:-\w, )?(-[^' ]*)/.exec(message)?.[1] ?? "";
    if (code === "ERR_PARSE_ARGS_UNKNOWN_OPTION") {
      throw new UsageError(`unknown option ${name}; an argument that begins with a dash goes after --`, {
        cause: error,
      });
    }
    if (code !== "ERR_PARSE_ARGS_INVALID_OPTION_VALUE") throw error;
    const takesNone = message.includes("does not take an argument");
    throw new UsageError(`${name} ${takesNone ? "does not take a value" : "needs a value"}`, { cause: error });
  }
}

function storeOptions(values: Values, env: Environment): StoreOptions {
  const { namespace = "", user, cacert, cert, key } = values;
  const serverName = values["server-name"];
  checkText(namespace, "--namespace is not UTF-8 text");
  if (user === "") throw new UsageError("--user must not be empty");
  // It may be a password, so it is not repeated. etcd's own tools cannot use a name with a colon either.
  if (user?.includes(":"))
    throw new UsageError("--user takes a name only; the password is asked for, or taken from EVENT_VALUE_PASSWORD");
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError(cert === undefined ? "--key needs --cert as well" : "--cert needs --key as well");
  }
  const tls = { "--cacert": cacert, "--cert": cert, "--server-name": serverName };
  const tlsOption = Object.entries(tls).find(([, given]) => given !== undefined)?.[0];
  return { endpoints: endpoints(values.store, env, tlsOption), namespace, user, cacert, cert, key, serverName };
}

/** @param tlsOption an option that is given and makes sense with https only */
function endpoints(
  given: readonly string[] | undefined,
  env: Environment,
  tlsOption: string | undefined,
): readonly string[] {
  const source = given === undefined ? "EVENT_VALUE_STORE" : "--store";
  const text = given?.join(",") ?? env["EVENT_VALUE_STORE"] ?? "";
  if (text === "" && given === undefined) {
    throw new UsageError("no store: set --store or EVENT_VALUE_STORE to its address, such as http://127.0.0.1:2379");
  }
  const urls = text.split(",").map((part) => part.trim());
  const parsed = urls.map((url) => {
    if (url.includes("@")) throw new UsageError(`${source} must not hold a user name or password: use --user`);
    if (tlsOption !== undefined && /^http:/i.test(url))
      throw new UsageError(`${tlsOption} needs https, ${source} has ${quote(url)}`);
    try {
      return parseEndpoints(url, tlsOption !== undefined)[0];
    } catch (error) {
      throw new UsageError((error as Error).message.replace(/^endpoints/, source), { cause: error });
    }
  });
  if (new Set(parsed.map(({ secure }) => secure)).size > 1) {
    throw new UsageError(`${source} mixes http and https: ${quote(text)}`);
  }
  return parsed.map(({ url }) => url);
}

function valueSource(value: string | undefined, file: string | undefined): ValueSource {
  if (file !== undefined) {
    if (value !== undefined) throw new UsageError("set: give <value> or --file, not both");
    return { from: "file", path: file };
  }
  if (value === undefined) throw new UsageError("set: missing <value>; - reads it from stdin, --file from a file");
  checkText(value, "set: <value> is not UTF-8 text: use - or --file");
  return value === "-" ? { from: "stdin" } : { from: "argument", text: value };
}

const unitMs = { ms: 1, s: 1000, m: 60_000 };

/** Milliseconds of `5s`, `500ms`, `1.5m`, or a bare number of seconds. @throws {@link UsageError} naming `option` */
export function parseDuration(text: string, option: string): number {
  const [, number, unit = "s"] = /^(\d+|\d*\.\d+)(ms|s|m)?$/.exec(text) ?? [];
  if (number === undefined)
    throw new UsageError(`${option} must be a time such as 500ms, 5s or 2m, not ${quote(text)}`);
  const ms = Math.ceil(Number(number) * unitMs[unit as keyof typeof unitMs]);
  if (ms > mostMs)
    throw new UsageError(`${option} must be at most ${Math.floor(mostMs / unitMs.m)}m, not ${quote(text)}`);
  return ms;
}

/** A duration as {@link parseDuration} reads it. */
export function formatDuration(ms: number): string {
  return ms < 1000 ? `${ms}ms` : `${ms / 1000}s`;
}

/** Node puts a replacement character where an argument is not UTF-8. What was meant is lost, so it is not stored. */
function checkText(argument: string, message: string): void {
  if (argument.includes("\ufffd")) throw new UsageError(message);
}

function untilTerminator(args: readonly string[]): readonly string[] {
  const end = args.indexOf("--");
  return end < 0 ? args : args.slice(0, end);
}

function isCommandName(name: string): name is CommandName {
  return (commandNames as readonly string[]).includes(name);
}

function quote(text: string): string {
  return JSON.stringify(text);
}
