import { describe, expect, test } from "vitest";
import { parseEndpoints } from "../../../src/etcd/endpoint.ts";

const urls = (endpoints: unknown, tls = false): string[] => parseEndpoints(endpoints, tls).map(({ url }) => url);

describe("endpoints", () => {
  test.each([
    ["http://10.0.0.1:2379", { host: "10.0.0.1", port: 2379, secure: false }],
    ["https://etcd.example.com:443", { host: "etcd.example.com", port: 443, secure: true }],
    ["HTTP://Etcd.Example.COM", { host: "etcd.example.com", port: 2379, secure: false }],
    ["etcd-0.etcd:4001", { host: "etcd-0.etcd", port: 4001, secure: false }],
    ["localhost", { host: "localhost", port: 2379, secure: false }],
    ["my_host", { host: "my_host", port: 2379, secure: false }],
    ["http://[::1]:2380", { host: "::1", port: 2380, secure: false }],
    ["[fe80::1%eth0]", { host: "fe80::1%eth0", port: 2379, secure: false }],
    ["2001:db8::7", { host: "2001:db8::7", port: 2379, secure: false }],
    ["http://127.0.0.1:2379/", { host: "127.0.0.1", port: 2379, secure: false }],
    ["http://bücher.example", { host: "xn--bcher-kva.example", port: 2379, secure: false }],
  ])("reads %s", (text, expected) => {
    expect(parseEndpoints([text], false)[0]).toMatchObject(expected);
  });

  test("have one text form, which is an endpoint itself", () => {
    const given = ["localhost", "HTTP://h:1/", "[::1]", "2001:db8::7"];
    const canonical = ["http://localhost:2379", "http://h:1", "http://[::1]:2379", "http://[2001:db8::7]:2379"];
    expect(urls(given)).toEqual(canonical);
    expect(urls(canonical)).toEqual(canonical);
  });

  test("may be one string instead of a list", () => {
    expect(urls("h:1")).toEqual(["http://h:1"]);
  });

  test("without a scheme are secure if there are TLS options", () => {
    expect(urls(["h:1", "https://g:1"], true)).toEqual(["https://h:1", "https://g:1"]);
    expect(() => urls(["h:1", "https://g:1"])).toThrow(/endpoints\[1\] must use http, as endpoints\[0\] does/);
  });

  test.each([
    ["", /has no host/],
    ["http://", /has no host/],
    [":2379", /has no host/],
    ["ftp://h:1", /unknown scheme/],
    ["unix:///run/etcd", /unknown scheme/],
    ["h:", /no valid port/],
    ["h:port", /no valid port/],
    ["h:-1", /no valid port/],
    ["h:1e3", /no valid port/],
    ["h:0", /out of range/],
    ["h:65536", /out of range/],
    ["http://h:1/v3", /path, query or fragment/],
    ["http://h:1?a=b", /path, query or fragment/],
    ["http://h:1#a", /path, query or fragment/],
    ["http://root:secret@h:1", /user name or password/],
    ["h:1,g:1", /no valid (host|port)/],
    ["h h:1", /no valid host/],
    ["http://[::1:1", /no valid host/],
    ["http://[h]:1", /no valid host/],
    ["1:2:3", /no valid port/],
    [" http://h:1", /no valid host|unknown scheme|path/],
  ])("refuse %j", (text, reason) => {
    const attempt = (): unknown => parseEndpoints(["http://h:1", text], false);
    expect(attempt).toThrow(TypeError);
    expect(attempt).toThrow(/^endpoints\[1\] /);
    expect(attempt).toThrow(reason);
  });

  test("do not show a password in the error about it", () => {
    expect(() => parseEndpoints(["http://root:secret@h:1"], false)).toThrow(/^((?!secret).)*$/s);
  });

  test("refuse http beside TLS options", () => {
    expect(() => parseEndpoints(["http://h:1"], true)).toThrow(/endpoints\[0\] uses http, but tls options are given/);
  });

  test.each([[undefined], [null], [7], [{}], [[]], [[7]], [[null]], [new URL("http://h:1")]])(
    "refuse %s as the list",
    (given) => {
      expect(() => parseEndpoints(given, false)).toThrow(TypeError);
      expect(() => parseEndpoints(given, false)).toThrow(/^endpoints/);
    },
  );
});
