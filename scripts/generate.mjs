// Turns src/etcd/proto/etcd.proto into TypeScript: `npm run generate`. The output is committed, so that building
// and installing need neither protoc nor ts-proto.
//
// Two files come out. src/etcd/proto/generated/etcd.ts can encode what a client sends and decode what it receives,
// nothing else, which makes it half as large. test/support/generated/etcd.ts has both directions of the two messages
// that src/etcd/proto/hot-decoders.ts decodes by hand: what the tests hold it equal to.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const protoFolder = join(root, "src/etcd/proto");
const plugin = join(
  root,
  "node_modules/.bin",
  process.platform === "win32" ? "protoc-gen-ts_proto.cmd" : "protoc-gen-ts_proto",
);

const options = [
  "annotateFilesWithVersion=false", // the same output from every protoc
  "comments=false",
  "enumsAsLiterals=true", // an enum is no erasable syntax
  "esModuleInterop=true",
  "exportCommonSymbols=false",
  "forceLong=number",
  "importSuffix=.ts",
  "oneof=unions-value",
  "outputClientImpl=false",
  "outputJsonMethods=false",
  "outputPartialMethods=false",
  "outputServices=none",
  "unrecognizedEnum=false",
  "useJsTypeOverride=true", // honours `jstype = JS_STRING`
  "useSnakeTypeName=false",
];

generate("src/etcd/proto/generated/etcd.ts", {
  encode: String.raw`\w+Request|RequestOp|Compare|Permission`,
  decode: String.raw`ResponseHeader|KeyValue|Member|ResponseOp|(?!Watch)\w+Response`,
});
generate("test/support/generated/etcd.ts", {
  encode: "ResponseHeader|KeyValue|Event|RangeResponse|WatchResponse",
  decode: "ResponseHeader|KeyValue|Event|RangeResponse|WatchResponse",
});

/** Writes `path` with code for the messages whose names match, by direction, and the types of all. */
function generate(path, { encode, decode }) {
  const source = runProtoc([
    ...options,
    `outputEncodeIncludeTypes=${whole(encode)}`,
    `outputDecodeIncludeTypes=${whole(decode)}`,
  ]);
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), withoutStubs(source));
  console.log(`wrote ${path}`);
}

/** ts-proto matches against a message's full name. */
function whole(name) {
  return String.raw`(^|\.)(${name})$`;
}

/**
 * What ts-proto leaves out it replaces by a function that throws. Without those, and with a type that tells the
 * directions apart, using a missing one does not compile.
 */
function withoutStubs(source) {
  const stub = /^  (?:en|de)code\(_: .*\n    throw new Error\(".* not generated for .*"\);\n  \},\n\n?/gm;
  return source
    .replace(/^export const (\w+): MessageFns<\w+> = \{\n([\s\S]*?)^\};\n\n?/gm, (_, name, body) => {
      const code = body.replace(stub, "").trimEnd();
      const directions = [];
      if (code.includes("  encode(")) directions.push(`Encoder<${name}>`);
      if (code.includes("  decode(")) directions.push(`Decoder<${name}>`);
      return directions.length === 0 ? "" : `export const ${name}: ${directions.join(" & ")} = {\n${code}\n};\n\n`;
    })
    .replace(
      /^interface MessageFns<T> \{\n(  encode\(.*\n)(  decode\(.*\n)\}\n/m,
      "interface Encoder<T> {\n$1}\n\ninterface Decoder<T> {\n$2}\n",
    );
}

function runProtoc(parameters) {
  const folder = mkdtempSync(join(tmpdir(), "event-value-generate-"));
  try {
    const run = spawnSync(
      "protoc",
      [
        `--plugin=protoc-gen-ts_proto=${plugin}`,
        `--ts_proto_out=${folder}`,
        `--ts_proto_opt=${parameters.join(",")}`,
        `--proto_path=${protoFolder}`,
        "etcd.proto",
      ],
      { stdio: ["ignore", "inherit", "inherit"] },
    );
    if (run.error !== undefined) {
      const hint = "install it (Debian, Ubuntu: apt-get install protobuf-compiler; macOS: brew install protobuf)";
      throw new Error(`protoc did not start: ${hint}`, { cause: run.error });
    }
    if (run.status !== 0) throw new Error(`protoc ended with status ${run.status}`);
    return readFileSync(join(folder, "etcd.ts"), "utf8");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
