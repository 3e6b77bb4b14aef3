CREATE TABLE webhook_calls (
    call_id VARCHAR(24) NOT NULL,
    progress TEXT NOT NULL,
    ended FLOAT NOT NULL,
    PRIMARY KEY (call_id)
);
CREATE TABLE webhook_events (
    seq INTEGER NOT NULL,
    event_id VARCHAR(36) NOT NULL,
    call_id VARCHAR(24) NOT NULL,
    kind VARCHAR(12) NOT NULL,
    body TEXT NOT NULL,
    created FLOAT NOT NULL,
    attempts INTEGER NOT NULL,
    due FLOAT NOT NULL,
    outcome VARCHAR(10) NOT NULL,
    reason VARCHAR(200) NOT NULL,
    settled FLOAT NOT NULL,
    PRIMARY KEY (seq),
    UNIQUE (event_id)
);
CREATE INDEX webhook_events_by_outcome ON webhook_events (outcome, call_id, seq);
UPDATE alembic_version SET version_num = '0014';
INSERT INTO webhook_calls ("call_id", "progress", "ended") VALUES ('20261114-080100-rrrrrrrr','{"call":{"call_id":"20261114-080100-rrrrrrrr","started":1794556860.0,"line":"Housing","called":"+441970000000","caller":"+441632960001","outgoing":false,"advisor":"sian","extension":"201"},"recorded":true,"answered":true,"paused":false,"pauses":0,"transfers":0,"ended":0.0,"sealed":null}',0.0);
INSERT INTO webhook_events ("event_id", "call_id", "kind", "body", "created", "attempts", "due", "outcome", "reason", "settled") VALUES ('575a9a2c-44e5-57b4-83f7-273ec0888e21','20261114-080100-rrrrrrrr','answered','{"event_id":"575a9a2c-44e5-57b4-83f7-273ec0888e21","kind":"answered","at":1794556865.0,"call":{"call_id":"20261114-080100-rrrrrrrr","started":1794556860.0,"line":"Housing","called":"+441970000000","caller":"+441632960001","outgoing":false,"advisor":"sian","extension":"201"},"ringing":[],"destination":"","answered":false,"talk_us":0,"interrupted":false}',1794556865.5,2,1794556870.0,'','',0.0);
