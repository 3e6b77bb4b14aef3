CREATE INDEX contacts_by_person ON contacts (person_id, started);
CREATE TABLE logged_calls (
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
CREATE INDEX logged_calls_by_start ON logged_calls (started);
CREATE INDEX logged_calls_by_number ON logged_calls (number, started);
CREATE INDEX logged_calls_by_end ON logged_calls (ended);
CREATE TABLE logged_parts (
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
CREATE INDEX logged_parts_by_user ON logged_parts (user, at);
UPDATE alembic_version SET version_num = '0018';
INSERT INTO logged_calls ("call_id", "started", "answered", "ended", "line", "outgoing", "internal", "number", "withheld", "advisor", "extension", "outcome", "transfers", "destination", "talk_us", "pauses", "paused_us", "gaps", "language") VALUES ('20261115-080100-ssssssss',1794643260.0,1794643265.0,1794643325.0,'Housing',0,0,'+441632960001',0,'sian','201','answered',1,'department',60000000,1,5000000,2,'cy');
INSERT INTO logged_parts ("call_id", "position", "role", "user", "extension", "at", "destination", "result") VALUES ('20261115-080100-ssssssss',0,'rang','huw','202',1794643260.0,'','');
INSERT INTO logged_parts ("call_id", "position", "role", "user", "extension", "at", "destination", "result") VALUES ('20261115-080100-ssssssss',1,'had','sian','201',1794643265.0,'','');
INSERT INTO logged_parts ("call_id", "position", "role", "user", "extension", "at", "destination", "result") VALUES ('20261115-080100-ssssssss',2,'sent','sian','201',1794643305.0,'department','answered');
