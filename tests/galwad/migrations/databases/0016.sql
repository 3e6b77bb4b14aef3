CREATE TABLE breaks (
    user VARCHAR(64) NOT NULL,
    reason VARCHAR(32) NOT NULL,
    since FLOAT NOT NULL,
    set_by VARCHAR(64) NOT NULL,
    PRIMARY KEY (user),
    FOREIGN KEY(user) REFERENCES users (name) ON DELETE CASCADE
);
UPDATE alembic_version SET version_num = '0016';
INSERT INTO breaks ("user", "reason", "since", "set_by") VALUES ('sian','lunch',1794643260.0,'mair');
