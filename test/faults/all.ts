import { clientLinkFaults } from "./client-links.ts";
import type { Fault } from "./fault.ts";
import { memberFaults } from "./members.ts";
import { peerLinkFaults } from "./peer-links.ts";
import { storeFaults } from "./store.ts";

/** What disturbs a life of the store; see lives.ts for what begins another one. */
export const faults: readonly Fault[] = [...memberFaults, ...peerLinkFaults, ...clientLinkFaults, ...storeFaults];
