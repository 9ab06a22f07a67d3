/** Free ports for servers of tests. */
import { once } from "node:events";
import { createServer } from "node:net";

/**
 * Ports of 127.0.0.1 that are free now. They lie below the ports that systems hand out to outgoing connections, so
 * that none of those takes the port of a server that is down and will come back.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = 15_000 + Math.floor(Math.random() * 17_000);
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch {
    return false;
  }
  server.close();
  await once(server, "close");
  return true;
}
