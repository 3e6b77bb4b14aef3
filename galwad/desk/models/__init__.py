"""The request and response bodies of the HTTP API, as pydantic models.

This table lists the endpoints. All paths are under `/api/v1`.

| method and path | request body or parameters | response body | who may use it |
|---|---|---|---|
| POST login | `Login` | `Me` and a cookie, or `Me` with `token` | anyone |
| POST logout | nothing | 204 | signed in |
| GET me | | `Me` | signed in |
| GET tokens | | `list[TokenFacts]`, of all users | admin |
| POST tokens | `NewMachineToken` | 201, `MadeToken`, audited | admin |
| DELETE tokens/{id} | | 204, audited | admin |
| GET me/tokens | | `OwnTokens` | people |
| POST me/tokens | `NewOwnToken` | 201, `MadeToken`, audited | people |
| DELETE me/tokens/{id} | | 204, audited | people |
| GET users | | `UserList` | admin |
| POST users | `NewUser` | 201, `ChangedUser`, audited | admin |
| DELETE users/{name} | `UserVersion` | 204, audited | admin |
| PATCH users/{name} | `ChangeOfUser` | `ChangedUser`, audited | admin |
| GET texts | | `list[TextListView]` | admin |
| GET texts/{name} | | `TextListView` | admin |
| PUT texts/{name} | `NewTextList` | `TextListView`, audited | admin |
| DELETE texts/{name} | `ListVersionBody` | `TextListView`, audited | admin |
| GET strings/{language} | | the page's texts (`en`, `cy`) | anyone |
| GET events | `Last-Event-ID` | server-sent events, see below | people, the right `events` |
| GET presence | | `list[AdvisorPresence]` | supervisor, admin |
| PUT presence | `PresenceChoice` | `AdvisorPresence`, the own one | people |
| PUT presence/{user} | `PresenceChoice` | `AdvisorPresence`, audited | supervisor, admin |
| GET calls | | `list[Pop]`, the calls that the viewer may see | people |
| GET calls/{id} | | `Pop` | people |
| PUT, DELETE calls/{id}/payment | `PauseRequest` | `PauseOutcome` | advisor, supervisor, token |
| PUT, DELETE payments | `PaymentTarget` | `PauseOutcome` | supervisor, token, personal token |
| POST payment-tokens | `PaymentTokenRequest` | 201, `NewPaymentToken`, audited | token |
| PUT, DELETE payment-page | `PaymentPage` | `PauseOutcome` | the token of a payment page |
| POST directories/forget | | 204, audited | the right `directories`, admin |
| POST calls/{id}/choose | `Choice` | `Pop` | own advisor |
| POST calls/{id}/search | `PersonSearch` | `SearchOutcome`, audited | own advisor |
| POST calls/{id}/confirm | `Confirmation` | `Pop` | own advisor |
| GET calls/{id}/earlier | | `EarlierContactsView`, audited | own advisor |
| POST calls/{id}/phone | `PhoneOrder` | 204, audited | own advisor |
| POST phone/dial | `DialOrder` | 204, audited | people |
| PUT calls/{id}/contact | `Contact` | `ContactSaved` | own advisor, supervisor |
| GET contacts/purposes | | `Purposes` | people |
| GET contacts/undelivered | | `list[UndeliveredNote]` | admin |
| POST contacts/{id}/retry | | 204, audited | admin |
| POST contacts/{id}/discard | `DiscardReason` | 204, audited | admin |
| GET webhooks/undelivered | | `list[UndeliveredEventView]` | admin |
| POST webhooks/{id}/retry | | 204, audited | admin |
| POST webhooks/{id}/discard | `DiscardReason` | 204, audited | admin |
| GET today | | `Today` | people |
| GET figures | `when` | `CallsFigures` | supervisor, admin |
| GET figures/export | `when` | CSV, audited | supervisor, admin |
| GET coverage | `when` | `Coverage` | supervisor, admin |
| GET promises | `when` | `PromiseReport` | supervisor, admin |
| GET audit | `after`, `limit` | `AuditPage` | admin |
| POST audit/search | `AuditQuery` | `AuditPage`, the newest first | admin |
| GET audit/head | `seq` | `AuditHead` | the right `anchors`, supervisor, admin |
| POST recordings/search | `RecordingQuery` | `RecordingPage` | supervisor, admin |
| GET recordings | | `RecordingPage`, the newest | supervisor, admin |
| GET recordings/{id} | | `RecordingDetail` | supervisor, admin |
| GET recordings/{id}/gaps | | `GapExplanation` | supervisor, admin |
| POST recordings/{id}/fetch | `Fetch` | encrypted bytes: header, then payload | supervisor, admin |
| PUT, DELETE recordings/{id}/hold | `RetainReason` | 204, audited | admin |
| POST recordings/{id}/purge | `Purge` | `Purged`, audited | admin with the right `purge` |
| POST recordings/{id}/recover | `Recover` | 204, audited | admin |
| GET unindexed | | `Unindexed` | admin |
| POST recordings/{id}/reindex | `Reindex` | `Reindexed`, audited | admin |
| GET recipients | | `SignedSet` | admin |
| POST headers/search | `HeaderQuery` | `HeaderPage` | admin |
| POST recordings/{id}/header | `HeaderReason` | `SealedHeader`, audited | admin |
| PUT recordings/{id}/header | `NewHeader` | `StagedHeader` | admin |
| PUT recordings/{id}/header/commit | `HeaderCommit` | 204, audited | admin |
| GET health | | `NodeHealth` | anyone |
| GET metrics | | Prometheus text | loopback, the right `metrics`, admin |

"People" are all users except those of the role `machine`. A "token" is the token of a machine with
the right `payments`. The "own advisor" is the advisor who is responsible for the call. "Audited"
means that the request is entered in the audit chain. A machine can have the rights `payments`,
`anchors`, `directories`, `events` and `metrics`. Only an administrator can have the right `purge`.
The body `PauseRequest` is optional. An empty cell means that the request has no body and no
parameters. The number 204 is the HTTP status of a response without a body.

If a request fails, the response body is `Refusal`. The path `/` is the page, and
`/static/…` are the page's files. The data of an event is one of these models: `PageSnapshot` for
`snapshot`, `Pop` for `call`, `Closed` for `closed`, `AlarmEvent` for `alarm`, and `PresenceNews`
for `presence`. Times are Unix seconds.
"""
