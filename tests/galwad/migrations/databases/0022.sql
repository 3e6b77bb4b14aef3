CREATE TABLE stream_events (
    seq INTEGER NOT NULL,
    event_id VARCHAR(36) NOT NULL,
    kind VARCHAR(12) NOT NULL,
    body TEXT NOT NULL,
    created FLOAT NOT NULL,
    PRIMARY KEY (seq),
    UNIQUE (event_id)
);
UPDATE alembic_version SET version_num = '0022';
INSERT INTO stream_events ("event_id", "kind", "body", "created") VALUES ('0865a5d8-cc22-5c58-a07a-6a460c2fd5f5','answered','{"id":"0865a5d8-cc22-5c58-a07a-6a460c2fd5f5","type":"call.answered","timestamp":"2026-11-21T08:01:05.000Z","data":{"call_id":"20261121-080100-tttttttt","started":"2026-11-21T08:01:00.000Z","line":"Housing","direction":"in","caller":"+441632960001","called":"+441970000000","advisor":"sian","extension":"201"}}',1795248065.5);
