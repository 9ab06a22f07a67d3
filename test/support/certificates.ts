/** Certificates for tests of TLS: of each the files `NAME.pem` and `NAME.key` in a folder of the test's. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Whom all are for. */
const names = "DNS:localhost,DNS:etcd.test,IP:127.0.0.1";

function openssl(folder: string, ...args: string[]): void {
  execFileSync("openssl", args, { cwd: folder, stdio: "ignore" });
}

/** The arguments of a request for `name`, with a key of its own. */
function request(name: string): string[] {
  const key = ["-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", `${name}.key`];
  return ["req", ...key, "-subj", `/CN=${name}`];
}

/** Makes an authority, to sign others. */
export function makeAuthority(folder: string, name: string): void {
  openssl(folder, ...request(name), "-x509", "-days", "2", "-out", `${name}.pem`);
}

/** Makes a certificate that `authority` has signed, and that expires after so many days: -1 for one that has. */
export function makeCertificate(folder: string, name: string, authority: string, days = 2): void {
  openssl(folder, ...request(name), "-out", `${name}.csr`);
  writeFileSync(join(folder, "extensions"), `subjectAltName=${names}`);
  const signing = ["-CA", `${authority}.pem`, "-CAkey", `${authority}.key`, "-CAcreateserial", "-days", `${days}`];
  openssl(folder, "x509", "-req", "-in", `${name}.csr`, "-out", `${name}.pem`, ...signing, "-extfile", "extensions");
}
