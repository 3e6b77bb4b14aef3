ALTER TABLE recording_holds RENAME TO old_holds;
DROP INDEX recording_holds_by_hold;
CREATE TABLE recording_holds (
    call_id VARCHAR(24) NOT NULL,
    hold_id INTEGER NOT NULL,
    started FLOAT NOT NULL,
    since FLOAT NOT NULL,
    released FLOAT,
    kept_until FLOAT,
    PRIMARY KEY (call_id, hold_id),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id),
    FOREIGN KEY(hold_id) REFERENCES legal_holds (hold_id)
);
CREATE INDEX recording_holds_by_hold ON recording_holds (hold_id, released, started, call_id);
INSERT INTO recording_holds SELECT old_holds.call_id, hold_id, coalesce(started, since), since, released, kept_until FROM old_holds LEFT JOIN recordings ON recordings.call_id = old_holds.call_id;
DROP TABLE old_holds;
UPDATE alembic_version SET version_num = '0029';
