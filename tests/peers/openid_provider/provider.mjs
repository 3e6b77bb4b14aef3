// An OpenID provider whose ID tokens have the claims of Entra ID. It prints its issuer when it is ready.
//
// Each person who signs in is described by the environment variable PEOPLE, by login name. A client that
// requests the claim `acrs` as essential, as with an authentication context of Entra ID, gets its value
// after a further sign-in, unless the person is described as weak.

import { createHash } from "node:crypto";
import { createServer } from "node:http";

import Provider, { interactionPolicy } from "oidc-provider";
import * as jose from "jose";

const people = JSON.parse(process.env.PEOPLE);
const { TENANT, CLIENT_ID, CLIENT_SECRET } = process.env;
const { privateKey } = await jose.generateKeyPair("RS256", { extractable: true });
const key = { ...(await jose.exportJWK(privateKey)), use: "sig", alg: "RS256", kid: "one" };
const callback = /^https?:\/\/127\.0\.0\.1:\d+\/api\/v1\/sign-in\/callback$/;
const page = /^https?:\/\/127\.0\.0\.1:\d+\/$/;

const { base, Check } = interactionPolicy;
const policy = base();
policy.get("login").checks.add(
  new Check("acrs", "a stronger sign-in is needed", ({ oidc }) => Boolean(oidc.claims?.id_token?.acrs) && !oidc.result?.login),
);

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT_ID,
        client_secret: CLIENT_SECRET,
        redirect_uris: ["https://galwad.example/api/v1/sign-in/callback"],
      },
    ],
    jwks: { keys: [key] },
    claims: { openid: ["sub", "tid", "oid", "roles", "acrs", "preferred_username"], profile: [] },
    conformIdTokenClaims: false,
    cookies: { keys: ["only for tests"] },
    features: { claimsParameter: { enabled: true }, devInteractions: { enabled: true } },
    interactions: { policy },
    pkce: { required: () => true },
    findAccount: (_context, login) => ({
      accountId: login,
      claims: (_use, _scope, requested) => ({
        sub: createHash("sha256").update(login).digest("base64url"),
        tid: TENANT,
        ...(requested.acrs && !people[login].weak ? { acrs: [requested.acrs.value] } : {}),
        ...people[login],
      }),
    }),
  });
  // Neither port is known before both programs have started.
  provider.Client.prototype.redirectUriAllowed = (uri) => callback.test(uri);
  provider.Client.prototype.postLogoutRedirectUriAllowed = (uri) => page.test(uri);
  server.on("request", provider.callback());
  console.log(issuer);
});
