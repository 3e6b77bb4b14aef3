CREATE TABLE numbers (
    e164 TEXT NOT NULL,
    extension TEXT NOT NULL,
    person_id INTEGER NOT NULL,
    PRIMARY KEY (e164, extension, person_id)
) WITHOUT ROWID;
INSERT INTO "numbers" VALUES('+441632960001','',1);
CREATE TABLE people (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    reference TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    language TEXT NOT NULL,
    kind TEXT NOT NULL,
    shared INTEGER NOT NULL,
    do_not_pop INTEGER NOT NULL,
    address TEXT NOT NULL,
    postcode TEXT NOT NULL,
    email TEXT NOT NULL,
    date_of_birth TEXT NOT NULL,
    notes TEXT NOT NULL,
    line INTEGER
);
INSERT INTO "people" VALUES(1,'P-1','Ann Example','','person',0,0,'','','','','',NULL);
PRAGMA user_version = 1;
