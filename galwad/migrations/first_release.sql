-- The tables and indexes of the first release's revision. This file never changes.

CREATE TABLE IF NOT EXISTS contacts (
    call_id VARCHAR(24) NOT NULL,
    started FLOAT NOT NULL,
    line VARCHAR(100) NOT NULL,
    advisor VARCHAR(100) NOT NULL,
    extension VARCHAR(20) NOT NULL,
    person_id VARCHAR(100) NOT NULL,
    confirmation VARCHAR(12) NOT NULL,
    version INTEGER NOT NULL,
    purpose VARCHAR(200) NOT NULL,
    language VARCHAR(2) NOT NULL,
    outcome VARCHAR(200) NOT NULL,
    caller_type VARCHAR(20) NOT NULL,
    on_behalf_of VARCHAR(200) NOT NULL,
    authority VARCHAR(200) NOT NULL,
    notes TEXT NOT NULL,
    number VARCHAR(64) DEFAULT '' NOT NULL,
    withheld BOOLEAN DEFAULT 0 NOT NULL,
    no_note_reason VARCHAR(20) DEFAULT '' NOT NULL,
    entries TEXT DEFAULT '[]' NOT NULL,
    reference VARCHAR(2000) DEFAULT '' NOT NULL,
    ended FLOAT DEFAULT '0' NOT NULL,
    name VARCHAR(200) DEFAULT '' NOT NULL,
    unfinished BOOLEAN DEFAULT 0 NOT NULL,
    PRIMARY KEY (call_id)
);
CREATE INDEX IF NOT EXISTS contacts_by_version ON contacts (version, started);
CREATE INDEX IF NOT EXISTS contacts_by_person ON contacts (person_id, started);

CREATE TABLE IF NOT EXISTS contact_outbox (
    call_id VARCHAR(24) NOT NULL,
    version INTEGER NOT NULL,
    payload TEXT NOT NULL,
    created FLOAT NOT NULL,
    delivered FLOAT,
    state VARCHAR(12) DEFAULT 'waiting' NOT NULL,
    due FLOAT DEFAULT '0' NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    uncertain BOOLEAN DEFAULT 0 NOT NULL,
    reason VARCHAR(300) DEFAULT '' NOT NULL,
    record_id VARCHAR(200) DEFAULT '' NOT NULL,
    PRIMARY KEY (call_id, version),
    FOREIGN KEY(call_id) REFERENCES contacts (call_id)
);
CREATE INDEX IF NOT EXISTS contact_outbox_by_state ON contact_outbox (state, due);

CREATE TABLE IF NOT EXISTS users (
    name VARCHAR(64) NOT NULL,
    role VARCHAR(12) NOT NULL,
    language VARCHAR(2) NOT NULL,
    extension VARCHAR(32),
    password VARCHAR(200) NOT NULL,
    ha1_md5 VARCHAR(32) NOT NULL,
    ha1_sha256 VARCHAR(64) NOT NULL,
    rights VARCHAR(200) NOT NULL,
    disabled BOOLEAN NOT NULL,
    created FLOAT NOT NULL,
    team VARCHAR(32) DEFAULT '' NOT NULL,
    PRIMARY KEY (name),
    UNIQUE (extension)
);

CREATE TABLE IF NOT EXISTS sessions (
    token_sha256 VARCHAR(64) NOT NULL,
    user VARCHAR(64) NOT NULL,
    kind VARCHAR(8) NOT NULL,
    created FLOAT NOT NULL,
    seen FLOAT NOT NULL,
    name VARCHAR(40),
    scopes VARCHAR(200),
    expires FLOAT,
    created_by VARCHAR(80) DEFAULT '' NOT NULL,
    address VARCHAR(64) DEFAULT '' NOT NULL,
    provider BOOLEAN DEFAULT 0 NOT NULL,
    needs_second_factor BOOLEAN DEFAULT 0 NOT NULL,
    stepped_up FLOAT,
    PRIMARY KEY (token_sha256),
    FOREIGN KEY(user) REFERENCES users (name) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS ix_sessions_user ON sessions (user);
CREATE UNIQUE INDEX IF NOT EXISTS sessions_by_name ON sessions (user, name);

CREATE TABLE IF NOT EXISTS audit_entries (
    node VARCHAR(32) NOT NULL,
    seq INTEGER NOT NULL,
    at_us BIGINT NOT NULL,
    kind VARCHAR(40) NOT NULL,
    body TEXT NOT NULL,
    hash VARCHAR(64) NOT NULL,
    PRIMARY KEY (node, seq)
);
CREATE INDEX IF NOT EXISTS audit_entries_by_kind ON audit_entries (node, kind, seq);

CREATE TABLE IF NOT EXISTS audit_values (
    node VARCHAR(32) NOT NULL,
    seq INTEGER NOT NULL,
    name VARCHAR(40) NOT NULL,
    salt BLOB NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (node, seq, name)
);

CREATE TABLE IF NOT EXISTS recordings (
    call_id VARCHAR(24) NOT NULL,
    folder VARCHAR(100) NOT NULL,
    started FLOAT NOT NULL,
    talk_us BIGINT NOT NULL,
    interrupted BOOLEAN NOT NULL,
    number VARCHAR(64),
    line VARCHAR(100) NOT NULL,
    advisor VARCHAR(100) NOT NULL,
    extension VARCHAR(20) NOT NULL,
    payload_size BIGINT NOT NULL,
    payload_sha256 VARCHAR(64) NOT NULL,
    manifest_sha256 VARCHAR(64) NOT NULL,
    unexplained_us BIGINT NOT NULL,
    raw_size BIGINT DEFAULT '0' NOT NULL,
    salt VARCHAR(64) DEFAULT '' NOT NULL,
    PRIMARY KEY (call_id)
);
CREATE INDEX IF NOT EXISTS recordings_by_advisor ON recordings (advisor, started, call_id, talk_us);
CREATE INDEX IF NOT EXISTS recordings_by_length ON recordings (talk_us, call_id);
CREATE INDEX IF NOT EXISTS recordings_by_line ON recordings (line, started, call_id, talk_us);
CREATE INDEX IF NOT EXISTS recordings_by_number ON recordings (number, started, call_id, talk_us);
CREATE INDEX IF NOT EXISTS recordings_by_start ON recordings (started, call_id, talk_us);
CREATE INDEX IF NOT EXISTS recordings_by_extension ON recordings (extension, started, call_id, talk_us);

CREATE TABLE IF NOT EXISTS gaps (
    call_id VARCHAR(24) NOT NULL,
    position INTEGER NOT NULL,
    reason VARCHAR(20) NOT NULL,
    "trigger" VARCHAR(20) NOT NULL,
    actor VARCHAR(100) NOT NULL,
    from_us BIGINT NOT NULL,
    to_us BIGINT NOT NULL,
    PRIMARY KEY (call_id, position),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
);

CREATE TABLE IF NOT EXISTS recording_gap_reasons (
    reason VARCHAR(20) NOT NULL,
    started FLOAT NOT NULL,
    call_id VARCHAR(24) NOT NULL,
    talk_us BIGINT NOT NULL,
    line VARCHAR(100) NOT NULL,
    PRIMARY KEY (reason, started, call_id),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS gap_reasons_by_call ON recording_gap_reasons (call_id);

CREATE TABLE IF NOT EXISTS recording_references (
    reference VARCHAR(200) NOT NULL,
    call_id VARCHAR(24) NOT NULL,
    PRIMARY KEY (reference, call_id),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
);

CREATE TABLE IF NOT EXISTS answered_calls (
    call_id VARCHAR(24) NOT NULL,
    answered FLOAT NOT NULL,
    ended FLOAT,
    talk_us BIGINT,
    PRIMARY KEY (call_id)
);
CREATE INDEX IF NOT EXISTS ix_answered_calls_answered ON answered_calls (answered);

CREATE TABLE IF NOT EXISTS coverage_findings (
    "key" VARCHAR(300) NOT NULL,
    first_seen FLOAT NOT NULL,
    PRIMARY KEY ("key")
);

CREATE TABLE IF NOT EXISTS recording_holds (
    call_id VARCHAR(24) NOT NULL,
    reason VARCHAR(200) NOT NULL,
    since FLOAT NOT NULL,
    PRIMARY KEY (call_id),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
);

CREATE TABLE IF NOT EXISTS recording_disposals (
    call_id VARCHAR(24) NOT NULL,
    at FLOAT NOT NULL,
    reason VARCHAR(20) NOT NULL,
    PRIMARY KEY (call_id),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
);

CREATE TABLE IF NOT EXISTS payment_tokens (
    token_sha256 VARCHAR(64) NOT NULL,
    user VARCHAR(64) NOT NULL,
    call_id VARCHAR(24) NOT NULL,
    created FLOAT NOT NULL,
    expires FLOAT NOT NULL,
    paused FLOAT,
    released FLOAT,
    PRIMARY KEY (token_sha256),
    FOREIGN KEY(user) REFERENCES users (name) ON DELETE CASCADE
);

CREATE TABLE IF NOT EXISTS captured_cards (
    call_id VARCHAR(24) NOT NULL,
    from_us BIGINT NOT NULL,
    to_us BIGINT NOT NULL,
    detected FLOAT NOT NULL,
    closed FLOAT,
    missing_trigger VARCHAR(200),
    changed VARCHAR(200),
    PRIMARY KEY (call_id, from_us),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
);

CREATE TABLE IF NOT EXISTS later_callers (
    call_id VARCHAR(24) NOT NULL,
    position INTEGER NOT NULL,
    from_us BIGINT NOT NULL,
    number VARCHAR(64),
    withheld BOOLEAN NOT NULL,
    PRIMARY KEY (call_id, position),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
);
CREATE INDEX IF NOT EXISTS later_callers_by_number ON later_callers (number, call_id);

CREATE TABLE IF NOT EXISTS recording_networks (
    call_id VARCHAR(24) NOT NULL,
    channel VARCHAR(20) NOT NULL,
    received BIGINT NOT NULL,
    lost BIGINT NOT NULL,
    late BIGINT NOT NULL,
    duplicate BIGINT NOT NULL,
    loss_bursts BIGINT NOT NULL,
    longest_loss BIGINT NOT NULL,
    jitter_us BIGINT NOT NULL,
    jitter_most_us BIGINT NOT NULL,
    mos FLOAT,
    PRIMARY KEY (call_id, channel),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
);

CREATE TABLE IF NOT EXISTS webhook_calls (
    call_id VARCHAR(24) NOT NULL,
    progress TEXT NOT NULL,
    ended FLOAT NOT NULL,
    PRIMARY KEY (call_id)
);

CREATE TABLE IF NOT EXISTS webhook_events (
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
CREATE INDEX IF NOT EXISTS webhook_events_by_outcome ON webhook_events (outcome, call_id, seq);

CREATE TABLE IF NOT EXISTS alarms (
    alarm_id VARCHAR(16) NOT NULL,
    kind VARCHAR(64) NOT NULL,
    call_id VARCHAR(24),
    line VARCHAR(200) NOT NULL,
    subject VARCHAR(200) NOT NULL,
    detail VARCHAR(300) NOT NULL,
    first FLOAT NOT NULL,
    latest FLOAT NOT NULL,
    count INTEGER NOT NULL,
    taken_by VARCHAR(64) NOT NULL,
    taken FLOAT NOT NULL,
    closed FLOAT NOT NULL,
    closed_by VARCHAR(64) NOT NULL,
    remark VARCHAR(200) NOT NULL,
    PRIMARY KEY (alarm_id)
);
CREATE INDEX IF NOT EXISTS alarms_by_closed ON alarms (closed);

CREATE TABLE IF NOT EXISTS breaks (
    user VARCHAR(64) NOT NULL,
    reason VARCHAR(32) NOT NULL,
    since FLOAT NOT NULL,
    set_by VARCHAR(64) NOT NULL,
    PRIMARY KEY (user),
    FOREIGN KEY(user) REFERENCES users (name) ON DELETE CASCADE
);

CREATE TABLE IF NOT EXISTS logged_calls (
    call_id VARCHAR(24) NOT NULL,
    started FLOAT NOT NULL,
    answered FLOAT NOT NULL,
    ended FLOAT NOT NULL,
    line VARCHAR(100) NOT NULL,
    outgoing BOOLEAN NOT NULL,
    internal BOOLEAN NOT NULL,
    number VARCHAR(64) NOT NULL,
    withheld BOOLEAN NOT NULL,
    advisor VARCHAR(64) NOT NULL,
    extension VARCHAR(64) NOT NULL,
    outcome VARCHAR(10) NOT NULL,
    transfers INTEGER NOT NULL,
    destination VARCHAR(20) NOT NULL,
    talk_us BIGINT NOT NULL,
    pauses INTEGER NOT NULL,
    paused_us BIGINT NOT NULL,
    gaps INTEGER NOT NULL,
    language VARCHAR(2) NOT NULL,
    PRIMARY KEY (call_id)
);
CREATE INDEX IF NOT EXISTS logged_calls_by_start ON logged_calls (started);
CREATE INDEX IF NOT EXISTS logged_calls_by_number ON logged_calls (number, started);
CREATE INDEX IF NOT EXISTS logged_calls_by_end ON logged_calls (ended);

CREATE TABLE IF NOT EXISTS logged_parts (
    call_id VARCHAR(24) NOT NULL,
    position INTEGER NOT NULL,
    role VARCHAR(6) NOT NULL,
    user VARCHAR(64) NOT NULL,
    extension VARCHAR(64) NOT NULL,
    at FLOAT NOT NULL,
    destination VARCHAR(20) NOT NULL,
    result VARCHAR(10) NOT NULL,
    PRIMARY KEY (call_id, position)
);
CREATE INDEX IF NOT EXISTS logged_parts_by_user ON logged_parts (user, at);

CREATE TABLE IF NOT EXISTS contact_drafts (
    call_id VARCHAR(24) NOT NULL,
    author VARCHAR(100) NOT NULL,
    version BIGINT NOT NULL,
    window VARCHAR(40) NOT NULL,
    edit INTEGER NOT NULL,
    fields TEXT NOT NULL,
    saved FLOAT NOT NULL,
    PRIMARY KEY (call_id, author),
    FOREIGN KEY(call_id) REFERENCES contacts (call_id)
);

CREATE TABLE IF NOT EXISTS identities (
    issuer VARCHAR(255) NOT NULL,
    subject VARCHAR(255) NOT NULL,
    user VARCHAR(64) NOT NULL,
    created FLOAT NOT NULL,
    PRIMARY KEY (issuer, subject),
    FOREIGN KEY(user) REFERENCES users (name) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS ix_identities_user ON identities (user);

CREATE TABLE IF NOT EXISTS second_factors (
    user VARCHAR(64) NOT NULL,
    secret VARCHAR(200) NOT NULL,
    last_step INTEGER NOT NULL,
    created FLOAT NOT NULL,
    recovery_used FLOAT,
    PRIMARY KEY (user),
    FOREIGN KEY(user) REFERENCES users (name) ON DELETE CASCADE
);

CREATE TABLE IF NOT EXISTS recovery_codes (
    digest VARCHAR(64) NOT NULL,
    user VARCHAR(64) NOT NULL,
    used FLOAT,
    PRIMARY KEY (digest),
    FOREIGN KEY(user) REFERENCES users (name) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS ix_recovery_codes_user ON recovery_codes (user);

CREATE TABLE IF NOT EXISTS stream_events (
    seq INTEGER NOT NULL,
    event_id VARCHAR(36) NOT NULL,
    kind VARCHAR(12) NOT NULL,
    body TEXT NOT NULL,
    created FLOAT NOT NULL,
    PRIMARY KEY (seq),
    UNIQUE (event_id)
);

CREATE TABLE IF NOT EXISTS text_lists (
    name VARCHAR(32) NOT NULL,
    entries TEXT,
    former TEXT NOT NULL,
    changed FLOAT NOT NULL,
    changed_by VARCHAR(64) NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE IF NOT EXISTS later_advisors (
    call_id VARCHAR(24) NOT NULL,
    position INTEGER NOT NULL,
    from_us BIGINT NOT NULL,
    advisor VARCHAR(100) NOT NULL,
    extension VARCHAR(100) NOT NULL,
    PRIMARY KEY (call_id, position),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
);
CREATE INDEX IF NOT EXISTS later_advisors_by_advisor ON later_advisors (advisor, call_id);
CREATE INDEX IF NOT EXISTS later_advisors_by_extension ON later_advisors (extension, call_id);
