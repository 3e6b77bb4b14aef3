// Requests to the desk. A refusal is an `ApiError` with the HTTP status; 0: no connection. Its
// `reason` is what the desk gives programs to tell refusals of one status apart, or empty.

import { useZoneOf } from "./times.js";

const BASE = "/api/v1";

/** What requests of a page in a CRM's panel must send, to show that another site has not made them. */
export const protection = { csrf: null };

/** The function to call when a request does not reach the desk: the page then knows that it is cut off. */
export const connection = { failed: () => {} };

export class ApiError extends Error {
  constructor(status, reason = "") {
    super(`status ${status}`);
    this.status = status;
    this.reason = reason;
  }
}

/** One request; its JSON answer, or null where there is none. `keepalive`: it outlives the page. */
export async function ask(method, path, body, { keepalive = false } = {}) {
  let response;
  try {
    response = await fetch(BASE + path, {
      method,
      cache: "no-store",
      keepalive,
      headers: headersFor(body),
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    connection.failed();
    throw new ApiError(0);
  }
  useZoneOf(response);
  if (!response.ok) throw await refusal(response);
  return response.status === 204 ? null : response.json();
}

function headersFor(body) {
  return {
    ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    ...(protection.csrf ? { "X-Galwad-CSRF": protection.csrf } : {}),
  };
}

async function refusal(response) {
  const error = new ApiError(response.status, await reasonOf(response));
  if (error.reason === "step_up_needed") import("./step_up.js").then(({ offer }) => offer(ask));
  return error;
}

async function reasonOf(response) {
  try {
    return (await response.json()).reason ?? "";
  } catch {
    return ""; // a proxy's answer is not ours, and not JSON
  }
}

/** The path of a call's part. */
export function callPath(callId, part) {
  return `/calls/${encodeURIComponent(callId)}/${part}`;
}
