CREATE TABLE cases (
    case_id INTEGER NOT NULL,
    kind VARCHAR(20) NOT NULL,
    reference VARCHAR(200) NOT NULL,
    name VARCHAR(200) NOT NULL,
    representative VARCHAR(200) NOT NULL,
    authority VARCHAR(200) NOT NULL,
    details TEXT NOT NULL,
    channel VARCHAR(20) NOT NULL,
    language VARCHAR(2) NOT NULL,
    call_id VARCHAR(24) NOT NULL,
    received VARCHAR(10) NOT NULL,
    owner VARCHAR(100) NOT NULL,
    opened FLOAT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (case_id)
);
CREATE TABLE case_calls (
    case_id INTEGER NOT NULL,
    call_id VARCHAR(24) NOT NULL,
    search INTEGER NOT NULL,
    started FLOAT NOT NULL,
    PRIMARY KEY (case_id, call_id, search),
    FOREIGN KEY(case_id) REFERENCES cases (case_id)
);
CREATE INDEX case_calls_by_call ON case_calls (call_id);
CREATE INDEX case_calls_by_start ON case_calls (case_id, started, call_id);
CREATE TABLE case_exclusions (
    case_id INTEGER NOT NULL,
    call_id VARCHAR(24) NOT NULL,
    reason VARCHAR(200) NOT NULL,
    PRIMARY KEY (case_id, call_id),
    FOREIGN KEY(case_id) REFERENCES cases (case_id)
);
CREATE TABLE case_searches (
    case_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    text VARCHAR(200) NOT NULL,
    person VARCHAR(200) NOT NULL,
    places TEXT NOT NULL,
    found INTEGER NOT NULL,
    actor VARCHAR(100) NOT NULL,
    at FLOAT NOT NULL,
    removed BOOLEAN NOT NULL,
    PRIMARY KEY (case_id, position),
    FOREIGN KEY(case_id) REFERENCES cases (case_id)
);
CREATE TABLE case_steps (
    case_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    kind VARCHAR(20) NOT NULL,
    day VARCHAR(10) NOT NULL,
    note TEXT NOT NULL,
    outcome VARCHAR(20) NOT NULL,
    actor VARCHAR(100) NOT NULL,
    at FLOAT NOT NULL,
    withdrawn VARCHAR(200) NOT NULL,
    PRIMARY KEY (case_id, position),
    FOREIGN KEY(case_id) REFERENCES cases (case_id)
);
ALTER TABLE contacts ADD COLUMN erased BOOLEAN DEFAULT 0 NOT NULL;
CREATE INDEX contacts_by_reference ON contacts (reference, started);
CREATE INDEX contacts_on_behalf ON contacts (on_behalf_of) WHERE on_behalf_of != '';
CREATE INDEX audit_entries_by_time ON audit_entries (node, kind, at_us);
CREATE INDEX audit_entries_by_call ON audit_entries (node, CASE WHEN json_valid(body) THEN json_extract(body, '$.facts.call_id') END, seq);
INSERT INTO cases VALUES (1, 'access', 'SAR 4', 'Mair Evans', '', '', 'all calls', 'telephone', 'cy', '20261125-080100-tttttttt', '2026-11-25', 'gwen', 1795593700.0, 2);
INSERT INTO case_steps VALUES (1, 1, 'acknowledged', '2026-11-26', '', '', 'user:gwen', 1795680000.0, '');
INSERT INTO case_searches VALUES (1, 1, '01970 123456', '', '[{"place": "recordings", "spelling": "+441970123456", "found": 1, "failed": ""}]', 1, 'user:gwen', 1795680060.0, 0);
INSERT INTO case_calls VALUES (1, '20261125-080100-tttttttt', 1, 1795593660.0);
INSERT INTO case_exclusions VALUES (1, '20261125-080100-tttttttt', 'another person');
UPDATE alembic_version SET version_num = '0030';
