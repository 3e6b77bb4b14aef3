CREATE TABLE captured_cards (
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
UPDATE alembic_version SET version_num = '0009';
INSERT INTO recordings ("call_id", "folder", "started", "talk_us", "interrupted", "number", "line", "advisor", "extension", "payload_size", "payload_sha256", "manifest_sha256", "unexplained_us", "raw_size") VALUES ('20261109-080100-kkkkkkkk','2026/11/09',1794211260.0,60000000,0,'+441632960001','Council Tax','sian','201',480000,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',0,0);
INSERT INTO gaps ("call_id", "position", "reason", "trigger", "actor", "from_us", "to_us") VALUES ('20261109-080100-kkkkkkkk',0,'captured-card','tones','system',5000000,9000000);
INSERT INTO recording_gap_reasons ("reason", "started", "call_id", "talk_us", "line") VALUES ('captured-card',1794211260.0,'20261109-080100-kkkkkkkk',60000000,'Council Tax');
INSERT INTO captured_cards ("call_id", "from_us", "to_us", "detected", "closed", "missing_trigger", "changed") VALUES ('20261109-080100-kkkkkkkk',5000000,9000000,1794211310.0,NULL,NULL,NULL);
