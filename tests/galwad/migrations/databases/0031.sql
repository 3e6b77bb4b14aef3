CREATE TABLE disclosures (
    disclosure_id INTEGER NOT NULL,
    purpose VARCHAR(20) NOT NULL,
    requester VARCHAR(200) NOT NULL,
    authority VARCHAR(200) NOT NULL,
    recipient VARCHAR(200) NOT NULL,
    reference VARCHAR(200) NOT NULL,
    details TEXT NOT NULL,
    urgent VARCHAR(200) NOT NULL,
    asked_by VARCHAR(100) NOT NULL,
    opened FLOAT NOT NULL,
    decision VARCHAR(10) NOT NULL,
    decided_by VARCHAR(100) NOT NULL,
    decided FLOAT,
    decision_note VARCHAR(200) NOT NULL,
    closed_by VARCHAR(100) NOT NULL,
    closed FLOAT,
    closing_note VARCHAR(200) NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (disclosure_id)
);
CREATE TABLE disclosure_calls (
    disclosure_id INTEGER NOT NULL,
    call_id VARCHAR(24) NOT NULL,
    PRIMARY KEY (disclosure_id, call_id),
    FOREIGN KEY(disclosure_id) REFERENCES disclosures (disclosure_id)
);
CREATE INDEX disclosure_calls_by_call ON disclosure_calls (call_id);
CREATE TABLE disclosed_files (
    disclosure_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    call_id VARCHAR(24) NOT NULL,
    what VARCHAR(200) NOT NULL,
    sha256 VARCHAR(64) NOT NULL,
    size INTEGER NOT NULL,
    actor VARCHAR(100) NOT NULL,
    at FLOAT NOT NULL,
    PRIMARY KEY (disclosure_id, position),
    FOREIGN KEY(disclosure_id) REFERENCES disclosures (disclosure_id)
);
INSERT INTO disclosures VALUES (1, 'crime', 'DC Jones, Police', 'form 7', 'DC Jones', 'P-7', 'threats', '', 'gwen', 1795593700.0, 'approved', 'nia', 1795593800.0, '', 'gwen', 1795680000.0, 'sent', 3);
INSERT INTO disclosure_calls VALUES (1, '20261125-080100-tttttttt');
INSERT INTO disclosed_files VALUES (1, 1, '20261125-080100-tttttttt', '', '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', 481213, 'user:gwen', 1795593900.0);
UPDATE alembic_version SET version_num = '0031';
