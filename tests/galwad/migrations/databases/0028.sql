CREATE TABLE legal_holds (
    hold_id INTEGER NOT NULL,
    reference VARCHAR(200) NOT NULL,
    reason VARCHAR(200) NOT NULL,
    owner VARCHAR(100) NOT NULL,
    review VARCHAR(10) NOT NULL,
    number VARCHAR(64),
    opened FLOAT NOT NULL,
    released FLOAT,
    version INTEGER NOT NULL,
    PRIMARY KEY (hold_id)
);
CREATE INDEX legal_holds_by_number ON legal_holds (number);
CREATE TABLE hold_releases (
    hold_id INTEGER NOT NULL,
    call_id VARCHAR(24) NOT NULL,
    asked_by VARCHAR(100) NOT NULL,
    reason VARCHAR(200) NOT NULL,
    PRIMARY KEY (hold_id, call_id),
    FOREIGN KEY(hold_id) REFERENCES legal_holds (hold_id)
);
DROP TABLE recording_holds;
CREATE TABLE recording_holds (
    call_id VARCHAR(24) NOT NULL,
    hold_id INTEGER NOT NULL,
    since FLOAT NOT NULL,
    released FLOAT,
    kept_until FLOAT,
    PRIMARY KEY (call_id, hold_id),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id),
    FOREIGN KEY(hold_id) REFERENCES legal_holds (hold_id)
);
CREATE INDEX recording_holds_by_hold ON recording_holds (hold_id, released, call_id);
UPDATE alembic_version SET version_num = '0028';
INSERT INTO legal_holds ("hold_id", "reference", "reason", "owner", "review", "number", "opened", "released", "version") VALUES (1,'claim 17','claim 17','','2026-11-25',NULL,1793693300.0,NULL,1);
INSERT INTO recording_holds ("call_id", "hold_id", "since", "released", "kept_until") VALUES ('20261103-080100-eeeeeeee',1,1793693300.0,NULL,NULL);
INSERT INTO hold_releases ("hold_id", "call_id", "asked_by", "reason") VALUES (1,'20261103-080100-eeeeeeee','gwen','settled');
