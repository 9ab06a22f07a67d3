/** TLS between a keyspace and a store: what is wrong with a certificate is told, and does not end anything. */
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type SecureContextOptions, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { text } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import { makeAuthority, makeCertificate } from "../support/certificates.ts";
import { etcdAvailable, EtcdServer } from "../support/etcd.ts";
import { freePorts } from "../support/ports.ts";
import { codeOf, observe } from "../support/promises.ts";
import { freshPrefix, useEtcd } from "./store.ts";

describe.skipIf(!etcdAvailable)("TLS to a store", () => {
  const server = useEtcd();
  let folder: string;
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const pem = (name: string): string => readFileSync(join(folder, name), "utf8");

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "event-value-keyspace-tls-"));
    for (const name of ["ca", "other-ca"]) makeAuthority(folder, name);
    makeCertificate(folder, "server", "ca");
    makeCertificate(folder, "expired-server", "ca", -1);
    makeCertificate(folder, "client", "ca");
    makeCertificate(folder, "expired-client", "ca", -1);
    makeCertificate(folder, "stranger", "other-ca");
  });

  const identityOf = (name: string): { cert: string; key: string } => ({
    cert: pem(`${name}.pem`),
    key: pem(`${name}.key`),
  });

  interface Front extends AsyncDisposable {
    readonly endpoint: string;
    /** What it shows of itself from now on, and whom it trusts. */
    show(context: SecureContextOptions): void;
  }

  /** What speaks TLS in front of the store. It wants to see a certificate of "ca". */
  async function startFront(name: string): Promise<Front> {
    const sockets = new Set<TLSSocket>();
    const options = { ca: pem("ca.pem"), requestCert: true, rejectUnauthorized: true, ALPNProtocols: ["h2"] };
    const front = createServer({ ...options, ...identityOf(name) }, (socket) => {
      sockets.add(socket);
      const upstream = connect(server.etcd.port, "127.0.0.1");
      socket.on("error", () => {}).on("close", () => upstream.destroy());
      upstream.on("error", () => {}).on("close", () => socket.destroy());
      socket.pipe(upstream).pipe(socket);
    });
    front.on("tlsClientError", () => {});
    front.listen(0, "127.0.0.1");
    await once(front, "listening");
    return {
      endpoint: `https://127.0.0.1:${(front.address() as AddressInfo).port}`,
      show: (context) => front.setSecureContext(context),
      async [Symbol.asyncDispose]() {
        for (const socket of sockets) socket.destroy();
        front.close();
        await once(front, "close");
      },
    };
  }

  test("with certificates on both sides that are in order, everything works", async () => {
    await using front = await startFront("server");
    for (const serverName of [undefined, "etcd.test"]) {
      const tls = { ca: pem("ca.pem"), ...identityOf("client"), serverName };
      await using keyspace = new EtcdKeyspace({ endpoints: front.endpoint, namespace: freshPrefix(), tls });
      const value = keyspace.value("key", text, { default: "none" });
      using watcher = value.watch();
      expect(await watcher.get()).toBe("none");
      const next = watcher.get();
      await value.set("1");
      expect(await next).toBe("1");
    }
  });

  const faults: [string, { readonly shown?: string; readonly tls: () => object; readonly says: RegExp }][] = [
    [
      "the server's is signed by an authority that is not trusted",
      {
        tls: () => ({ ca: pem("other-ca.pem") }),
        says: /self-signed certificate in certificate chain|unable to verify/,
      },
    ],
    [
      "the server's is signed by none that the platform trusts",
      { tls: () => ({ ca: undefined }), says: /self-signed certificate in certificate chain|unable to verify/ },
    ],
    [
      "the server's is for another name",
      { tls: () => ({ serverName: "other.test" }), says: /Host: other\.test\. is not in the cert's altnames/ },
    ],
    ["the server's has expired", { shown: "expired-server", tls: () => ({}), says: /certificate has expired/ }],
    [
      "the client has none",
      { tls: () => ({ cert: undefined, key: undefined }), says: /certificate required|not accept the client's cert/ },
    ],
    [
      "the client's is a stranger's",
      { tls: () => identityOf("stranger"), says: /not accept the client's certificate/ },
    ],
    [
      "the client's has expired",
      { tls: () => identityOf("expired-client"), says: /not accept the client's certificate/ },
    ],
  ];

  /** Opens a keyspace that cannot connect: a get waits, and the status says why. */
  async function expectCause(endpoint: string, tls: object, says: RegExp, then?: () => void): Promise<void> {
    const given = { ca: pem("ca.pem"), ...identityOf("client"), ...tls };
    const namespace = freshPrefix();
    await using keyspace = new EtcdKeyspace({ endpoints: endpoint, namespace, tls: given, staleAfterMs: 3000 });
    using watcher = keyspace.value("key", text, { default: "none" }).watch();
    using status = keyspace.status.watch();
    const get = watcher.get();
    const outcome = observe(get);
    const told = await status.get({ filter: (now) => now.state !== "connecting" || now.cause !== undefined });
    expect(told.state).toBe("connecting");
    expect(String((told as { cause: unknown }).cause)).toMatch(says);
    expect(outcome()).toEqual({ state: "pending" });
    if (then === undefined) {
      await keyspace.close();
      expect(await codeOf(get)).toBe("EV_CLOSED");
    } else {
      then();
      expect(await get).toBe("none");
    }
  }

  test.each(faults)("where %s, the status tells so, and gets wait", async (_title, { shown = "server", tls, says }) => {
    await using front = await startFront(shown);
    // Certificates are renewed.
    const renew = (): void => front.show({ ca: pem("ca.pem"), ...identityOf("server") });
    await expectCause(front.endpoint, tls(), says, shown === "server" ? undefined : renew);
  });

  test("with etcd's own: it is trusted and trusts, or the status tells why not", async () => {
    const [port, peerPort, securePort] = (await freePorts(3)) as [number, number, number];
    const files = { "cert-file": "server.pem", "key-file": "server.key", "trusted-ca-file": "ca.pem" };
    await using etcd = new EtcdServer(
      process.env["EV_TEST_ETCD"]!,
      { name: "secure", port, peerPort, inbound: undefined },
      "secure",
      [
        `--initial-cluster=secure=http://127.0.0.1:${peerPort}`,
        `--listen-client-urls=http://127.0.0.1:${port},https://127.0.0.1:${securePort}`,
        "--client-cert-auth",
        ...Object.entries(files).map(([option, name]) => `--${option}=${join(folder, name)}`),
      ],
    );
    await etcd.start();
    const endpoint = `https://localhost:${securePort}`;
    {
      const tls = { ca: pem("ca.pem"), ...identityOf("client") };
      await using keyspace = new EtcdKeyspace({ endpoints: endpoint, tls });
      const value = keyspace.value("key", text, { default: "none" });
      using watcher = value.watch();
      expect(await watcher.get()).toBe("none");
      const next = watcher.get();
      await value.set("1");
      expect(await next).toBe("1");
    }
    for (const [tls, says] of [
      [{ cert: undefined, key: undefined }, /certificate required|bad certificate|not accept the client's/],
      [identityOf("stranger"), /bad certificate|unknown (ca|certificate)|not accept the client's/],
      [identityOf("expired-client"), /bad certificate|expired|not accept the client's/],
    ] as const) {
      await expectCause(endpoint, tls, says);
    }
  });
});
