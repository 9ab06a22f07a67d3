/**
 * Deliberate defects: each takes from the source the answer to one thing that etcd really does, or one of this
 * package's own promises about it. A suite that stays green with one of them proves nothing about what it breaks.
 *
 *     EV_MUTATION="deletes are forgotten on resync" npx vitest run test/etcd
 *
 * runs any tests against one (see plugin.mjs). mutations.test.ts runs, for each, the tests that are there to catch it.
 */

/**
 * @typedef {object} Mutation
 * @property {string} name What is wrong then.
 * @property {string} file The file, from the root.
 * @property {string} find What is there, exactly once.
 * @property {string} replace What stands there instead.
 * @property {{ files: readonly string[], tests: string }} caughtBy The tests that are there to catch it: files, and a
 *   pattern for the tests' whole names.
 */

const feed = "test/etcd/facts/feed.test.ts";
const stream = "test/etcd/watch-stream.test.ts";
const transport = "test/etcd/transport.test.ts";
const silence = "test/etcd/facts/silence.test.ts";
const backoff = "test/etcd/facts/backoff.test.ts";
const leases = "test/etcd/facts/leases.test.ts";
const lost = "test/etcd/lost-answers.test.ts";
const election = "test/etcd/election.test.ts";

/** @type {readonly Mutation[]} */
export const mutations = [
  {
    name: "resume from the header's revision",
    file: "src/etcd/watch-stream.ts",
    find: "else if (message.events.length > 0) watch.handlers.events(message.events);",
    replace:
      "else if (message.events.length > 0) { watch.handlers.events(message.events); " +
      "watch.handlers.progress(message.header.revision); }",
    caughtBy: { files: ["test/etcd/resume.test.ts"], tests: "cut in the middle of a backlog" },
  },
  {
    name: "progress notifications are ignored",
    file: "src/etcd/range-feed.ts",
    find: "if (revision > this.log.revision) this.#settle(revision);",
    replace: "void revision;",
    caughtBy: { files: [feed], tests: "at the revision of the last progress notification" },
  },
  {
    name: "progress moves the resume point back",
    file: "src/etcd/range-feed.ts",
    find: "if (revision > this.log.revision) this.#settle(revision);",
    replace: "this.#settle(revision);",
    caughtBy: { files: [feed], tests: "progress notification from before" },
  },
  {
    name: "a watch begins after the revision that is known",
    file: "src/etcd/range-feed.ts",
    find: "startRevision: this.log.revision }",
    replace: "startRevision: this.log.revision + 1 }",
    caughtBy: { files: ["test/etcd/range-feed.test.ts"], tests: "begin exactly at a compaction" },
  },
  {
    name: "old events are kept after a fail-over",
    file: "src/etcd/range-feed.ts",
    find: "if (modRevision <= known) continue;",
    replace: "",
    caughtBy: { files: [feed], tests: "drops events that are not newer" },
  },
  {
    name: "fragments are not reassembled",
    file: "src/etcd/watch-stream.ts",
    find: "if (message.fragment ||",
    replace: "if (message.watchId === -2 ||",
    caughtBy: { files: [stream], tests: "puts the fragments of a response together" },
  },
  {
    name: "a resync delivers the snapshot instead of the difference",
    file: "src/etcd/range-feed.ts",
    find: "this.log.beginMerge(",
    replace: "(this.log.merge([], this.log.revision, { rewound: false }), this.log).beginMerge(",
    caughtBy: { files: [feed], tests: "delivers the difference" },
  },
  {
    name: "deletes are forgotten on resync",
    file: "src/range/conflating-log.ts",
    find: "if (this.#size > listed) {",
    replace: "if (this.#size < 0) {",
    caughtBy: { files: [feed], tests: "delivers the difference" },
  },
  {
    name: "no probe for a compacted resume revision",
    file: "src/etcd/range-feed.ts",
    find: 'next = "probe";\n          await this.#pause();',
    replace: 'next = "follow";\n          await this.#pause();',
    caughtBy: { files: ["test/etcd/range-feed.test.ts"], tests: "that the server does not tell a resumed watch of" },
  },
  {
    name: "who is far behind watches all of it",
    file: "src/etcd/range-feed.ts",
    find: "if (!isFar(header.revision - this.log.revision, this.log.size))",
    replace: "if (isFar(0, 0) === false)",
    caughtBy: { files: [feed], tests: "beyond that a listing" },
  },
  {
    name: "the repeated cancel of a watch is not ignored",
    file: "src/etcd/watch-stream.ts",
    find: "open.byId.delete(watchId);",
    replace: "",
    caughtBy: { files: [stream], tests: "tells of a compaction once" },
  },
  {
    name: "the cancel of a watch is not answered",
    file: "src/etcd/watch-stream.ts",
    find: "this.#cancelId(open, message.watchId);\n      if (",
    replace: "open.byId.delete(message.watchId);\n      if (",
    caughtBy: { files: [stream], tests: "tells of a compaction once" },
  },
  {
    name: "a missing key does not disprove that the log is up to date",
    file: "src/etcd/range-feed.ts",
    find: "count === size &&",
    replace: "",
    caughtBy: { files: [feed], tests: "where a key is missing whose deletion" },
  },
  {
    name: "a joiner shares a read that is under way",
    file: "src/etcd/range-feed.ts",
    find: "this.#wanted = this.#begun + 1;",
    replace: "this.#wanted = this.#checking ? this.#begun : this.#begun + 1;",
    caughtBy: { files: [feed], tests: "never one that was under way" },
  },
  {
    name: "the answer to a create that failed is matched by its id",
    file: "src/etcd/watch-stream.ts",
    find: "const watch = open.asked.shift();",
    replace: "const watch = message.watchId < 0 ? undefined : open.asked.shift();",
    caughtBy: { files: [stream], tests: "matches answers to creates in their order" },
  },
  {
    name: "a new token is used on the old stream",
    file: "src/etcd/range-feed.ts",
    find: "stream.abandon(access, reason);",
    replace: "",
    caughtBy: { files: [feed], tests: "may have been for its token" },
  },
  {
    name: "an expired token is not renewed",
    file: "src/etcd/client.ts",
    find: "this.expire(access);\n            if (renewals++ > 0)",
    replace: "if (renewals++ > 0)",
    caughtBy: { files: ["test/etcd/client.test.ts"], tests: "K9 an expired token is renewed, and again" },
  },
  {
    name: "a token that got no answer is kept",
    file: "src/etcd/client.ts",
    find: "if (late) this.expire(access);",
    replace: "",
    caughtBy: { files: ["test/etcd/client.test.ts"], tests: "a token that a call got no answer with" },
  },
  {
    name: "a token that a change of roles has outdated is refused for good",
    file: "src/etcd/client.ts",
    find: "isOutdated(error) ||",
    replace: "",
    caughtBy: { files: ["test/etcd/client.test.ts"], tests: "K9 a token that users or roles have changed since" },
  },
  {
    name: "a token is not renewed before it expires",
    file: "src/etcd/auth.ts",
    find: "performance.now() >= this.#value.renewAt",
    replace: "false",
    caughtBy: { files: ["test/etcd/tokens.test.ts"], tests: "K9 tells when it expires" },
  },
  {
    name: "no hasleader",
    file: "src/etcd/transport.ts",
    find: 'if (requireLeader) metadata.set("hasleader", "true");',
    replace: "void requireLeader;",
    caughtBy: { files: [transport], tests: "asks for a leader" },
  },
  {
    name: "messages of more than 4 MB are refused",
    file: "src/etcd/connection.ts",
    find: '"grpc.max_receive_message_length": -1,',
    replace: "",
    caughtBy: { files: ["test/etcd/facts/sizes.test.ts"], tests: "K11 arrive" },
  },
  {
    name: "reads and watches share a connection",
    file: "src/etcd/transport.ts",
    find: "this.#calls = new Lane(dial);",
    replace: "this.#calls = this.#streams;",
    caughtBy: { files: [transport], tests: "once for streams and once for calls" },
  },
  {
    name: "a create may stay unanswered for ever",
    file: "src/etcd/watch-stream.ts",
    find: "if (open.asked.length === 0) return;",
    replace: "if (open.asked.length >= 0) return;",
    caughtBy: { files: [stream], tests: "K9 leaves a member that answers no create" },
  },
  {
    name: "connecting may take for ever",
    file: "src/etcd/connection.ts",
    find: "if (--left > 0) return;",
    replace: "if (left > 0) return;",
    caughtBy: { files: [silence], tests: "when connecting has taken too long" },
  },
  {
    name: "an answer may take for ever",
    file: "src/etcd/transport.ts",
    find: "deadlineMs === undefined ? Infinity :",
    replace: "deadlineMs === undefined || deadlineMs > 0 ? Infinity :",
    caughtBy: { files: [silence], tests: "fails it at its deadline" },
  },
  {
    name: "a value that is kept pins the response it came in",
    file: "src/etcd/proto/hot-decoders.ts",
    find: "this.end - end < sharedBytes) return this.#bytes.slice(start, end);",
    replace: "this.end - end < sharedBytes) return this.#bytes.subarray(start, end);",
    caughtBy: { files: ["test/etcd/facts/memory.test.ts"], tests: "does not pin the megabyte" },
  },
  {
    name: "a learner's refusal is final",
    file: "src/etcd/errors.ts",
    find: '["rpc not supported for learner", transient]',
    replace: '["rpc not supported for learner", refused]',
    caughtBy: { files: ["test/etcd/facts/leader.test.ts"], tests: "among the endpoints" },
  },
  {
    name: "a lease's time begins with the answer to a keepalive",
    file: "src/etcd/lease.ts",
    find: "this.#expiresAt = sent + ttlMs;",
    replace: "this.#expiresAt = performance.now() + ttlMs;",
    caughtBy: { files: [leases], tests: "not after it was answered" },
  },
  {
    name: "a lease's time begins with the answer to its grant",
    file: "src/etcd/lease.ts",
    find: "new EtcdLease(id, ttl * 1000, sent, this)",
    replace: "new EtcdLease(id, ttl * 1000, performance.now(), this)",
    caughtBy: { files: [leases], tests: "after its grant was asked for" },
  },
  {
    name: "a lease lives as long as was asked for",
    file: "src/etcd/lease.ts",
    find: "new EtcdLease(id, ttl * 1000, sent, this)",
    replace: "new EtcdLease(id, ttlMs, sent, this)",
    caughtBy: { files: [leases], tests: "lives as long as the server says" },
  },
  {
    name: "a lease's id is a number",
    file: "src/etcd/commits.ts",
    find: "lease === undefined ? undefined : { lease }",
    replace: "lease === undefined ? undefined : { lease: String(BigInt(Number(lease))) }",
    caughtBy: { files: [leases], tests: "with an id that no number of JavaScript holds" },
  },
  {
    name: "those who failed together come back together",
    file: "src/internal/backoff.ts",
    find: "(0.5 + Math.random() / 2)",
    replace: "1",
    caughtBy: { files: [backoff], tests: "with jitter" },
  },
  {
    name: "the backoff goes on where it was after a success",
    file: "src/internal/backoff.ts",
    find: "this.#nextMs = this.#firstMs;\n  }\n\n  /** Waits",
    replace: "}\n\n  /** Waits",
    caughtBy: { files: [backoff], tests: "from the beginning after a success" },
  },
  {
    name: "a watch that was created is no success",
    file: "src/etcd/range-feed.ts",
    find: "    this.#backoff?.reset();\n",
    replace: "",
    caughtBy: { files: [backoff], tests: "a feed's" },
  },
  {
    name: "what HTTP says counts as etcd's refusal",
    file: "src/etcd/errors.ts",
    find: "if (notFromEtcd.test(details)) return transient;",
    replace: "",
    caughtBy: { files: ["test/etcd/client.test.ts"], tests: "K9 what a member fails at is asked of the next one" },
  },
  {
    name: "a failure without a text is a surprise",
    file: "src/etcd/transport.ts",
    find: 'details = "no details" } = status;',
    replace: "details } = status as { code: number; details: string };",
    caughtBy: { files: [transport], tests: "in a compression which it did not announce" },
  },
  {
    name: "another cluster id is not noticed",
    file: "src/etcd/history.ts",
    find: "header.clusterId !== since.clusterId",
    replace: "false",
    caughtBy: { files: [feed], tests: "is told by another cluster id" },
  },
  {
    name: "a lower raft term is not noticed",
    file: "src/etcd/history.ts",
    find: "header.raftTerm < since.raftTerm",
    replace: "false",
    caughtBy: { files: [feed], tests: "is told by a lower raft term" },
  },
  {
    name: "a lower revision is not noticed",
    file: "src/etcd/history.ts",
    find: "header.revision < since.revision",
    replace: "false",
    caughtBy: { files: [feed], tests: "is told by a lower revision" },
  },
  {
    name: "one suspicious answer is a rewind",
    file: "src/etcd/range-feed.ts",
    find: "if (++suspicions === 2)",
    replace: "if (++suspicions === 1)",
    caughtBy: { files: [feed], tests: "alone: a second read says otherwise" },
  },
  {
    name: "a lost answer of a conditional write counts as applied when the bytes are equal",
    file: "src/etcd/commits.ts",
    find: 'return change.lease === undefined ? "either" : "this";',
    replace: 'return "this";',
    caughtBy: { files: [lost], tests: "without a lease: looking cannot tell" },
  },
  {
    name: "an update is sent again after a lost answer",
    file: "src/etcd/commits.ts",
    find: "        lost = error;\n",
    replace: "        continue;\n",
    caughtBy: { files: [lost], tests: "one that counts is not made twice" },
  },
  {
    name: "what is sent again counts as beaten where the first was carried out late",
    file: "src/etcd/commits.ts",
    find: 'if (outcome.type !== "conflict" || lost === undefined) return outcome;',
    replace: "return outcome;",
    caughtBy: { files: [lost], tests: "is not in conflict with itself" },
  },
  {
    name: "the same bytes with another lease count as one's own",
    file: "src/etcd/commits.ts",
    find: 'if (record.lease !== (change.lease ?? "0")) return "others";',
    replace: "",
    caughtBy: { files: [lost], tests: "where somebody else was first" },
  },
  {
    name: "of what followed only the newest is looked at",
    file: "src/etcd/commits.ts",
    find: "while (high - low > 1) {",
    replace: "while (false) {",
    caughtBy: { files: [lost], tests: "is found in the history" },
  },
  {
    name: "what was written with the lease before counts as written now",
    file: "src/etcd/commits.ts",
    find: "next.modRevision > Math.max(since, after)",
    replace: "next.modRevision > since",
    caughtBy: { files: [lost], tests: "not taken for the one from before" },
  },
  {
    name: "writes of one key go out at once",
    file: "src/keyspace/turns.ts",
    find: "if (before.length > 0) await abortable(Promise.all(before), signal);",
    replace: "",
    caughtBy: { files: ["test/etcd/conformance.test.ts"], tests: "in the order of their calls" },
  },
  {
    name: "what came of a write is looked for without an end",
    file: "src/etcd/commits.ts",
    find: "late.abort(error)",
    replace: "{}",
    caughtBy: { files: [lost], tests: "gives up after requestTimeoutMs" },
  },
  {
    name: "what is sent again is sent at once",
    file: "src/etcd/commits.ts",
    find: "await backoff.wait(signal ?? this.#client.closed);",
    replace: "",
    caughtBy: { files: [lost], tests: "waits in between" },
  },
  {
    name: "a key that is absent was never there",
    file: "src/etcd/commits.ts",
    find: "since > 0 && current?.modRevision === since",
    replace: "(current?.modRevision ?? 0) === since",
    caughtBy: { files: [lost], tests: "where looking does not tell" },
  },
  {
    name: "a conflict with what may go again is final",
    file: "src/etcd/commits.ts",
    find: 'if (verdict === "beaten" || isFinal(conflict, commit)) return',
    replace: "return",
    caughtBy: { files: [lost], tests: "over several keys" },
  },
  {
    name: "an update that is made already is unclear",
    file: "src/keyspace/writer.ts",
    find: "if (holds(compute(outcome.found), outcome.found.bytes)) return",
    replace: "if (false) return",
    caughtBy: { files: [lost], tests: "that would not change what is there" },
  },
  {
    name: "an update does not compare",
    file: "src/keyspace/writer.ts",
    find: 'const conditions = [{ key, revision: ifRevision ?? current?.revision ?? 0, of: "last write" as const }];',
    replace: "const conditions: Condition[] = [];",
    caughtBy: { files: ["test/etcd/fairness.test.ts"], tests: "by eight keyspaces" },
  },
  {
    name: "a candidate that is not the oldest leads",
    file: "src/keyspace/election.ts",
    find: "return this.#present && this.#older.size === 0;",
    replace: "return this.#present;",
    caughtBy: { files: [election], tests: "is won by the oldest candidate only" },
  },
  {
    name: "lost keys are not noticed by a leader",
    file: "src/keyspace/election.ts",
    find: "while (!field.isLost) {",
    replace: "while (false) {",
    caughtBy: { files: [election], tests: "is lost by a leader whose key is deleted" },
  },
  {
    name: "a leader's fence holds when its key is gone",
    file: "src/keyspace/election.ts",
    find: "this.fence = ifCreated(key, revision);",
    replace: "this.fence = ifCreated(key, 0);",
    caughtBy: { files: [election], tests: "its fence tells" },
  },
  {
    name: "a merge is made in steps beside a live map",
    file: "src/etcd/range-feed.ts",
    find: "if (this.readers > 0) continue;",
    replace: "",
    caughtBy: { files: ["test/etcd/facts/live-maps.test.ts"], tests: "while the difference of a resync is merged" },
  },
];

/**
 * The source of `file` (a path from the root) with the named mutation made; as it is, where that is of another file.
 *
 * @param {string} name
 * @param {string} file
 * @param {string} source
 * @returns {string}
 */
export function mutate(name, file, source) {
  const mutation = mutations.find((known) => known.name === name);
  if (mutation === undefined) throw new Error(`there is no mutation of the name "${name}"`);
  if (mutation.file !== file) return source;
  const { find, replace } = mutation;
  if (source.split(find).length !== 2) throw new Error(`"${name}": not there exactly once in ${file}: ${find}`);
  return source.replace(find, () => replace);
}
