CREATE TABLE contact_drafts (
    call_id VARCHAR(24) NOT NULL,
    author VARCHAR(100) NOT NULL,
    version BIGINT NOT NULL,
    window VARCHAR(40) NOT NULL,
    edit INTEGER NOT NULL,
    fields TEXT NOT NULL,
    saved FLOAT NOT NULL,
    PRIMARY KEY (call_id, author),
    FOREIGN KEY(call_id) REFERENCES contacts (call_id)
);
ALTER TABLE contacts ADD COLUMN ended FLOAT DEFAULT '0' NOT NULL;
ALTER TABLE contacts ADD COLUMN name VARCHAR(200) DEFAULT '' NOT NULL;
ALTER TABLE contacts ADD COLUMN unfinished BOOLEAN DEFAULT 0 NOT NULL;
UPDATE alembic_version SET version_num = '0019';
INSERT INTO contacts ("call_id", "started", "line", "advisor", "extension", "person_id", "confirmation", "version", "purpose", "language", "outcome", "caller_type", "on_behalf_of", "authority", "notes", "number", "withheld", "no_note_reason", "entries", "reference", "ended", "name", "unfinished") VALUES ('20261116-080100-ssssssss',1794816060.0,'Housing','sian','201','directory:1','confirmed',0,'','','','','','','','+441632960001',0,'','["directory:1"]','C-1',1794816120.0,'Ann Example',0);
INSERT INTO contact_drafts ("call_id", "author", "version", "window", "edit", "fields", "saved") VALUES ('20261116-080100-ssssssss','sian',1794816125000,'0123456789abcdef',3,'{"authority": "", "caller_type": "self", "language": "cy", "no_note_reason": "", "notes": "Drws wedi torri", "on_behalf_of": "", "outcome": "", "purpose": "", "unfinished": false}',1794816125.0);
