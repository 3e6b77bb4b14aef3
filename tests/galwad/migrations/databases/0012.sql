ALTER TABLE contacts ADD COLUMN number VARCHAR(64) DEFAULT '' NOT NULL;
ALTER TABLE contacts ADD COLUMN withheld BOOLEAN DEFAULT 0 NOT NULL;
ALTER TABLE contacts ADD COLUMN no_note_reason VARCHAR(20) DEFAULT '' NOT NULL;
UPDATE alembic_version SET version_num = '0012';
INSERT INTO contacts ("call_id", "started", "line", "advisor", "extension", "person_id", "confirmation", "version", "purpose", "language", "outcome", "caller_type", "on_behalf_of", "authority", "notes", "number", "withheld", "no_note_reason") VALUES ('20261112-080100-nnnnnnnn',1794470460.0,'Housing','sian','201','','',0,'','','','','','','','+441632960001',0,'');
INSERT INTO contacts ("call_id", "started", "line", "advisor", "extension", "person_id", "confirmation", "version", "purpose", "language", "outcome", "caller_type", "on_behalf_of", "authority", "notes", "number", "withheld", "no_note_reason") VALUES ('20261112-080200-oooooooo',1794470520.0,'Housing','sian','201','','',1,'','','','','','','','',0,'wrong_number');
