CREATE TABLE recording_flags (
    flag VARCHAR(20) NOT NULL,
    started FLOAT NOT NULL,
    call_id VARCHAR(24) NOT NULL,
    reason VARCHAR(200) NOT NULL,
    since FLOAT NOT NULL,
    PRIMARY KEY (flag, started, call_id),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
) WITHOUT ROWID;
CREATE INDEX recording_flags_by_call ON recording_flags (call_id);
UPDATE alembic_version SET version_num = '0026';
INSERT INTO recording_flags ("flag", "started", "call_id", "reason", "since") VALUES ('sensitive',1795593660.0,'20261125-080100-tttttttt','health',1795593700.0);
