/**
 * The calls of etcd's API that this package makes: each with its path, how its messages are written and read, and
 * whether it changes the store.
 */
import type { Method } from "../transport.ts";
import {
  AuthDisableRequest,
  AuthEnableRequest,
  AuthResponse,
  AuthRoleGrantPermissionRequest,
  AuthenticateRequest,
  AuthenticateResponse,
  CompactionRequest,
  CompactionResponse,
  DeleteRangeRequest,
  DeleteRangeResponse,
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseRevokeRequest,
  LeaseRevokeResponse,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
  MemberListRequest,
  MemberListResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  StatusRequest,
  StatusResponse,
  TxnRequest,
  TxnResponse,
  WatchRequest,
} from "./generated/etcd.ts";
import { decodeRange, decodeWatch, type RangeResult, type WatchMessage } from "./hot-decoders.ts";

export const range: Method<RangeRequest, RangeResult> = {
  path: "/etcdserverpb.KV/Range",
  write: false,
  encode: (request) => RangeRequest.encode(request).finish(),
  decode: decodeRange,
};
export const put: Method<PutRequest, PutResponse> = write("KV/Put", PutRequest, PutResponse);
export const deleteRange: Method<DeleteRangeRequest, DeleteRangeResponse> = write(
  "KV/DeleteRange",
  DeleteRangeRequest,
  DeleteRangeResponse,
);
/** Counted as a write: whether it is one depends on what is in it. */
export const txn: Method<TxnRequest, TxnResponse> = write("KV/Txn", TxnRequest, TxnResponse);
export const compact: Method<CompactionRequest, CompactionResponse> = write(
  "KV/Compact",
  CompactionRequest,
  CompactionResponse,
);

export const watch: Method<WatchRequest, WatchMessage> = {
  path: "/etcdserverpb.Watch/Watch",
  write: false,
  encode: (request) => WatchRequest.encode(request).finish(),
  decode: decodeWatch,
};

export const leaseGrant: Method<LeaseGrantRequest, LeaseGrantResponse> = write(
  "Lease/LeaseGrant",
  LeaseGrantRequest,
  LeaseGrantResponse,
);
export const leaseRevoke: Method<LeaseRevokeRequest, LeaseRevokeResponse> = write(
  "Lease/LeaseRevoke",
  LeaseRevokeRequest,
  LeaseRevokeResponse,
);
export const leaseKeepAlive: Method<LeaseKeepAliveRequest, LeaseKeepAliveResponse> = read(
  "Lease/LeaseKeepAlive",
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
);
export const leaseTimeToLive: Method<LeaseTimeToLiveRequest, LeaseTimeToLiveResponse> = read(
  "Lease/LeaseTimeToLive",
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
);

export const authenticate: Method<AuthenticateRequest, AuthenticateResponse> = read(
  "Auth/Authenticate",
  AuthenticateRequest,
  AuthenticateResponse,
);
export const authEnable: Method<AuthEnableRequest, AuthResponse> = write(
  "Auth/AuthEnable",
  AuthEnableRequest,
  AuthResponse,
);
export const authDisable: Method<AuthDisableRequest, AuthResponse> = write(
  "Auth/AuthDisable",
  AuthDisableRequest,
  AuthResponse,
);
export const roleGrantPermission: Method<AuthRoleGrantPermissionRequest, AuthResponse> = write(
  "Auth/RoleGrantPermission",
  AuthRoleGrantPermissionRequest,
  AuthResponse,
);

export const memberList: Method<MemberListRequest, MemberListResponse> = read(
  "Cluster/MemberList",
  MemberListRequest,
  MemberListResponse,
);
export const status: Method<StatusRequest, StatusResponse> = read("Maintenance/Status", StatusRequest, StatusResponse);

interface Encoder<T> {
  encode(message: T): { finish(): Uint8Array };
}
interface Decoder<T> {
  decode(bytes: Uint8Array): T;
}

function read<Request, Response>(
  name: string,
  request: Encoder<Request>,
  response: Decoder<Response>,
): Method<Request, Response> {
  return method(name, request, response, false);
}

function write<Request, Response>(
  name: string,
  request: Encoder<Request>,
  response: Decoder<Response>,
): Method<Request, Response> {
  return method(name, request, response, true);
}

function method<Request, Response>(
  name: string,
  request: Encoder<Request>,
  response: Decoder<Response>,
  write: boolean,
): Method<Request, Response> {
  return {
    path: `/etcdserverpb.${name}`,
    write,
    encode: (message) => request.encode(message).finish(),
    decode: (bytes) => response.decode(bytes),
  };
}
