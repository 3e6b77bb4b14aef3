CREATE TABLE text_lists (
    name VARCHAR(32) NOT NULL,
    entries TEXT,
    former TEXT NOT NULL,
    changed FLOAT NOT NULL,
    changed_by VARCHAR(64) NOT NULL,
    PRIMARY KEY (name)
);
ALTER TABLE users ADD COLUMN team VARCHAR(32) DEFAULT '' NOT NULL;
UPDATE alembic_version SET version_num = '0024';
INSERT INTO text_lists ("name", "entries", "former", "changed", "changed_by") VALUES ('breaks','[["lunch", "Lunch", "Cinio canol dydd"]]','[["tea", "Tea", "Te"]]',1794643200.0,'gwen');
UPDATE users SET team = 'housing' WHERE name = 'sian';
