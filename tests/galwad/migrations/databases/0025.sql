CREATE TABLE later_advisors (
    call_id VARCHAR(24) NOT NULL,
    position INTEGER NOT NULL,
    from_us BIGINT NOT NULL,
    advisor VARCHAR(100) NOT NULL,
    extension VARCHAR(100) NOT NULL,
    PRIMARY KEY (call_id, position),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
);
CREATE INDEX later_advisors_by_advisor ON later_advisors (advisor, call_id);
CREATE INDEX later_advisors_by_extension ON later_advisors (extension, call_id);
UPDATE alembic_version SET version_num = '0025';
INSERT INTO recordings ("call_id", "folder", "started", "talk_us", "interrupted", "number", "line", "advisor", "extension", "payload_size", "payload_sha256", "manifest_sha256", "unexplained_us", "raw_size") VALUES ('20261125-080100-tttttttt','2026/11/25',1795593660.0,60000000,0,'+441632960001','Council Tax','','600',480000,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',0,0);
INSERT INTO later_advisors ("call_id", "position", "from_us", "advisor", "extension") VALUES ('20261125-080100-tttttttt',0,20000000,'sian','201');
