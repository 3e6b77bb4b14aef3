CREATE TABLE recording_terms (
    call_id VARCHAR(24) NOT NULL,
    category VARCHAR(40) NOT NULL,
    due FLOAT,
    version INTEGER NOT NULL,
    PRIMARY KEY (call_id)
);
CREATE INDEX recording_terms_by_due ON recording_terms (due, call_id, category);
CREATE TABLE retention_versions (
    version INTEGER NOT NULL,
    rules TEXT NOT NULL,
    stored FLOAT NOT NULL,
    approver VARCHAR(200) DEFAULT '' NOT NULL,
    in_force FLOAT,
    withdrawn FLOAT,
    PRIMARY KEY (version)
);
UPDATE alembic_version SET version_num = '0027';
INSERT INTO recording_terms ("call_id", "category", "due", "version") VALUES ('20261125-080100-tttttttt','general',NULL,1);
INSERT INTO retention_versions ("version", "rules", "stored", "approver", "in_force", "withdrawn") VALUES (1,'[{"category": "general", "counted_from": null, "flags": [], "keep": "by hand", "lines": [], "minimum": null, "purposes": []}]',1795593600.0,'',1795593600.0,NULL);
