CREATE TABLE alarms (
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
CREATE INDEX alarms_by_closed ON alarms (closed);
UPDATE alembic_version SET version_num = '0015';
INSERT INTO alarms ("alarm_id", "kind", "call_id", "line", "subject", "detail", "first", "latest", "count", "taken_by", "taken", "closed", "closed_by", "remark") VALUES ('0f3c9a71','peer.down',NULL,'','pbx-north 192.0.2.9:5060','pbx-north 192.0.2.9:5060: 408',1794642060.0,1794645660.0,3,'mair',1794642120.0,0.0,'','');
