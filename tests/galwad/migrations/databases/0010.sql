CREATE TABLE later_callers (
    call_id VARCHAR(24) NOT NULL,
    position INTEGER NOT NULL,
    from_us BIGINT NOT NULL,
    number VARCHAR(64),
    withheld BOOLEAN NOT NULL,
    PRIMARY KEY (call_id, position),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
);
CREATE INDEX later_callers_by_number ON later_callers (number, call_id);
UPDATE alembic_version SET version_num = '0010';
INSERT INTO recordings ("call_id", "folder", "started", "talk_us", "interrupted", "number", "line", "advisor", "extension", "payload_size", "payload_sha256", "manifest_sha256", "unexplained_us", "raw_size") VALUES ('20261110-080100-llllllll','2026/11/10',1794297660.0,60000000,0,'+441632960912','Council Tax','sian','201',480000,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',0,0);
INSERT INTO later_callers ("call_id", "position", "from_us", "number", "withheld") VALUES ('20261110-080100-llllllll',0,20000000,'+441632960001',0);
