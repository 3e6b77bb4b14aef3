CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE contacts (
    call_id VARCHAR(24) NOT NULL,
    started FLOAT NOT NULL,
    line VARCHAR(100) NOT NULL,
    advisor VARCHAR(100) NOT NULL,
    extension VARCHAR(20) NOT NULL,
    person_id VARCHAR(100) NOT NULL,
    confirmation VARCHAR(12) NOT NULL,
    version INTEGER NOT NULL,
    purpose VARCHAR(200) NOT NULL,
    language VARCHAR(2) NOT NULL,
    outcome VARCHAR(200) NOT NULL,
    caller_type VARCHAR(20) NOT NULL,
    on_behalf_of VARCHAR(200) NOT NULL,
    authority VARCHAR(200) NOT NULL,
    notes TEXT NOT NULL,
    PRIMARY KEY (call_id)
);
CREATE INDEX contacts_by_version ON contacts (version, started);
CREATE TABLE people (
    id INTEGER NOT NULL,
    reference VARCHAR(200) NOT NULL,
    name VARCHAR(200) NOT NULL,
    language VARCHAR(2) NOT NULL,
    kind VARCHAR(12) NOT NULL,
    shared BOOLEAN NOT NULL,
    do_not_pop BOOLEAN NOT NULL,
    address VARCHAR NOT NULL,
    postcode VARCHAR NOT NULL,
    email VARCHAR NOT NULL,
    date_of_birth VARCHAR NOT NULL,
    notes VARCHAR NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (reference)
);
CREATE TABLE contact_outbox (
    call_id VARCHAR(24) NOT NULL,
    version INTEGER NOT NULL,
    payload TEXT NOT NULL,
    created FLOAT NOT NULL,
    delivered FLOAT,
    PRIMARY KEY (call_id, version),
    FOREIGN KEY(call_id) REFERENCES contacts (call_id)
);
CREATE TABLE numbers (
    person_id INTEGER NOT NULL,
    e164 VARCHAR(20) NOT NULL,
    extension VARCHAR(8) NOT NULL,
    PRIMARY KEY (person_id, e164, extension),
    FOREIGN KEY(person_id) REFERENCES people (id) ON DELETE CASCADE
);
CREATE INDEX numbers_by_e164 ON numbers (e164, extension);
CREATE TABLE users (
    name VARCHAR(64) NOT NULL,
    role VARCHAR(12) NOT NULL,
    language VARCHAR(2) NOT NULL,
    extension VARCHAR(32),
    password VARCHAR(200) NOT NULL,
    ha1_md5 VARCHAR(32) NOT NULL,
    ha1_sha256 VARCHAR(64) NOT NULL,
    rights VARCHAR(200) NOT NULL,
    disabled BOOLEAN NOT NULL,
    created FLOAT NOT NULL,
    PRIMARY KEY (name),
    UNIQUE (extension)
);
CREATE TABLE sessions (
    token_sha256 VARCHAR(64) NOT NULL,
    user VARCHAR(64) NOT NULL,
    kind VARCHAR(8) NOT NULL,
    created FLOAT NOT NULL,
    seen FLOAT NOT NULL,
    PRIMARY KEY (token_sha256),
    FOREIGN KEY(user) REFERENCES users (name) ON DELETE CASCADE
);
CREATE INDEX ix_sessions_user ON sessions (user);
CREATE TABLE audit_entries (
    node VARCHAR(32) NOT NULL,
    seq INTEGER NOT NULL,
    at_us BIGINT NOT NULL,
    kind VARCHAR(40) NOT NULL,
    body TEXT NOT NULL,
    hash VARCHAR(64) NOT NULL,
    PRIMARY KEY (node, seq)
);
CREATE INDEX audit_entries_by_kind ON audit_entries (node, kind, seq);
CREATE TABLE audit_values (
    node VARCHAR(32) NOT NULL,
    seq INTEGER NOT NULL,
    name VARCHAR(40) NOT NULL,
    salt BLOB NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (node, seq, name)
);
CREATE TABLE recordings (
    call_id VARCHAR(24) NOT NULL,
    folder VARCHAR(100) NOT NULL,
    started FLOAT NOT NULL,
    talk_us BIGINT NOT NULL,
    interrupted BOOLEAN NOT NULL,
    number VARCHAR(64),
    line VARCHAR(100) NOT NULL,
    advisor VARCHAR(100) NOT NULL,
    extension VARCHAR(20) NOT NULL,
    payload_size BIGINT NOT NULL,
    payload_sha256 VARCHAR(64) NOT NULL,
    manifest_sha256 VARCHAR(64) NOT NULL,
    unexplained_us BIGINT NOT NULL,
    PRIMARY KEY (call_id)
);
CREATE INDEX recordings_by_advisor ON recordings (advisor, started, call_id, talk_us);
CREATE INDEX recordings_by_length ON recordings (talk_us, call_id);
CREATE INDEX recordings_by_line ON recordings (line, started, call_id, talk_us);
CREATE INDEX recordings_by_number ON recordings (number, started, call_id, talk_us);
CREATE INDEX recordings_by_start ON recordings (started, call_id, talk_us);
CREATE TABLE gaps (
    call_id VARCHAR(24) NOT NULL,
    position INTEGER NOT NULL,
    reason VARCHAR(20) NOT NULL,
    "trigger" VARCHAR(20) NOT NULL,
    actor VARCHAR(100) NOT NULL,
    from_us BIGINT NOT NULL,
    to_us BIGINT NOT NULL,
    PRIMARY KEY (call_id, position),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
);
CREATE TABLE recording_gap_reasons (
    reason VARCHAR(20) NOT NULL,
    started FLOAT NOT NULL,
    call_id VARCHAR(24) NOT NULL,
    talk_us BIGINT NOT NULL,
    line VARCHAR(100) NOT NULL,
    PRIMARY KEY (reason, started, call_id),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
)
 WITHOUT ROWID;
CREATE INDEX gap_reasons_by_call ON recording_gap_reasons (call_id);
CREATE TABLE recording_references (
    reference VARCHAR(200) NOT NULL,
    call_id VARCHAR(24) NOT NULL,
    PRIMARY KEY (reference, call_id),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
);
INSERT INTO alembic_version VALUES ('0001');
INSERT INTO audit_entries ("node", "seq", "at_us", "kind", "body", "hash") VALUES ('old',1,1793520010000000,'day-key','{"at_us":1793520010000000,"commitments":{},"facts":{"previous":"","public_key":"5ef0a5d0cfb4462ffbe2a16d8766223db820785be433a3c63904de1dc7bbfc58"},"kind":"day-key","node":"old","seq":1}','49a370573b98a34a06cdda6db681bb5c08224128961743905ce8dd302964e4aa');
INSERT INTO audit_entries ("node", "seq", "at_us", "kind", "body", "hash") VALUES ('old',2,1793520010000000,'user.added','{"at_us":1793520010000000,"commitments":{"actor":"e25ae50ba2b6ac7cfe65b6991b3ce0588c352367eed0b4152ce1dfceded1b175","user":"4d362dc40951c321910adbd859516088ff9535647d7a2ec5d3437a8100a645a7"},"facts":{"rights":"","role":"admin"},"kind":"user.added","node":"old","seq":2}','93b672602a6e8db31c7562eaef158ed3167b48117ef07fb2cd3ba9e7d7069235');
INSERT INTO audit_entries ("node", "seq", "at_us", "kind", "body", "hash") VALUES ('old',3,1793520020000000,'user.added','{"at_us":1793520020000000,"commitments":{"actor":"1f0f42fe57423c868dfe92cce0af8352f3f8cda8d3659f705637cd4cba79476e","user":"99b8ec20830f54a008b15dc91df68b5474b01892a85c5434dbdf3249e8820e88"},"facts":{"rights":"","role":"advisor"},"kind":"user.added","node":"old","seq":3}','c15acc847e81715d6c2c2ce8a0e3d282cb2b11ec3f997ce93bcaa000c2bd07c2');
INSERT INTO audit_entries ("node", "seq", "at_us", "kind", "body", "hash") VALUES ('old',4,1793520030000000,'recording.indexed','{"at_us":1793520030000000,"commitments":{},"facts":{"call_id":"20261101-080100-aaaaaaaa","manifest_sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},"kind":"recording.indexed","node":"old","seq":4}','1fadd5aa44c930a7b9821aa6792ff6bdc29a706f8d237d9501379a05ed0283ea');
INSERT INTO audit_entries ("node", "seq", "at_us", "kind", "body", "hash") VALUES ('old',5,1793520040000000,'recording.indexed','{"at_us":1793520040000000,"commitments":{},"facts":{"call_id":"20261101-080200-bbbbbbbb","manifest_sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},"kind":"recording.indexed","node":"old","seq":5}','8044654a53ac47cabb2cd145087e87ca61a118b5026285fc072dc64acd520d50');
INSERT INTO audit_entries ("node", "seq", "at_us", "kind", "body", "hash") VALUES ('old',6,1793520050000000,'recording.indexed','{"at_us":1793520050000000,"commitments":{},"facts":{"call_id":"20261101-080300-cccccccc","manifest_sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},"kind":"recording.indexed","node":"old","seq":6}','711054864573c8e199fd03825cf712fa4c37a1e7918d3f825f1d1e04f44f5119');
INSERT INTO audit_entries ("node", "seq", "at_us", "kind", "body", "hash") VALUES ('old',7,1793520060000000,'recording.fetched','{"at_us":1793520060000000,"commitments":{"actor":"9160b5452eacb5a081652ac8f9fe5d0e0b64fa909babc0b644fdb45b1956819d","reference":"1b25ff87c862e2aa23e08092ba56de225f1f01aa92c751a880b5c4f4a4d134d2"},"facts":{"call_id":"20261101-080200-bbbbbbbb","payload_sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","purpose":"complaint"},"kind":"recording.fetched","node":"old","seq":7}','84728c1ff28d4638b6371abd6d8831e129a9cd53dd218677af6705fd7361d4bc');
INSERT INTO audit_values ("node", "seq", "name", "salt", "value") VALUES ('old',2,'user',X'27220C349A894723B95AAB324E7D614FF784B776ABC8AEB1A5C915DE1792F588','gwen');
INSERT INTO audit_values ("node", "seq", "name", "salt", "value") VALUES ('old',2,'actor',X'474F9D33EF23E6E0BBFE022C8D8F2CAD9D902A30C047210DBB9944D0335F3D38','os:root');
INSERT INTO audit_values ("node", "seq", "name", "salt", "value") VALUES ('old',3,'user',X'2F3E392D6466F09482B6E1008CFFFD8D4B96AA3BF736B1B3226830776D0334D9','sian');
INSERT INTO audit_values ("node", "seq", "name", "salt", "value") VALUES ('old',3,'actor',X'97037E1DC5E9CD6BE717110F4D65ED078AB3C2946866465BE76FD94A0C82A141','os:root');
INSERT INTO audit_values ("node", "seq", "name", "salt", "value") VALUES ('old',7,'actor',X'2AC7905D2017B11988691DF239FC40E2BB5040A4A12D95EFB49E088A4B2F2063','user:gwen');
INSERT INTO audit_values ("node", "seq", "name", "salt", "value") VALUES ('old',7,'reference',X'0603A349DF5F162EFB2725DDB861CFE4A2AEF52A8ED7A0975D764DDBBC450EB0','C-1024');
INSERT INTO contacts ("call_id", "started", "line", "advisor", "extension", "person_id", "confirmation", "version", "purpose", "language", "outcome", "caller_type", "on_behalf_of", "authority", "notes") VALUES ('20261101-080100-aaaaaaaa',1793520060.0,'Council Tax','sian','201','','',0,'','','','','','','');
INSERT INTO gaps ("call_id", "position", "reason", "trigger", "actor", "from_us", "to_us") VALUES ('20261101-080200-bbbbbbbb',0,'payment','page','user:sian',5000000,9000000);
INSERT INTO gaps ("call_id", "position", "reason", "trigger", "actor", "from_us", "to_us") VALUES ('20261101-080300-cccccccc',0,'fault','crash','system',1000000,2000000);
INSERT INTO numbers ("person_id", "e164", "extension") VALUES (1,'+441632960001','');
INSERT INTO people ("id", "reference", "name", "language", "kind", "shared", "do_not_pop", "address", "postcode", "email", "date_of_birth", "notes") VALUES (1,'P-1','Ann Example','','person',0,0,'','','','','');
INSERT INTO recording_gap_reasons ("reason", "started", "call_id", "talk_us", "line") VALUES ('fault',1793520180.0,'20261101-080300-cccccccc',60000000,'Council Tax');
INSERT INTO recording_gap_reasons ("reason", "started", "call_id", "talk_us", "line") VALUES ('payment',1793520120.0,'20261101-080200-bbbbbbbb',900000000,'Council Tax');
INSERT INTO recording_references ("reference", "call_id") VALUES ('C-1024','20261101-080200-bbbbbbbb');
INSERT INTO recordings ("call_id", "folder", "started", "talk_us", "interrupted", "number", "line", "advisor", "extension", "payload_size", "payload_sha256", "manifest_sha256", "unexplained_us") VALUES ('20261101-080100-aaaaaaaa','2026/11/01',1793520060.0,60000000,0,'+441632960001','Council Tax','sian','201',480000,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',0);
INSERT INTO recordings ("call_id", "folder", "started", "talk_us", "interrupted", "number", "line", "advisor", "extension", "payload_size", "payload_sha256", "manifest_sha256", "unexplained_us") VALUES ('20261101-080200-bbbbbbbb','2026/11/01',1793520120.0,900000000,0,NULL,'Council Tax','sian','201',480000,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',0);
INSERT INTO recordings ("call_id", "folder", "started", "talk_us", "interrupted", "number", "line", "advisor", "extension", "payload_size", "payload_sha256", "manifest_sha256", "unexplained_us") VALUES ('20261101-080300-cccccccc','2026/11/01',1793520180.0,60000000,1,'+441632960001','Council Tax','sian','201',480000,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',0);
INSERT INTO users ("name", "role", "language", "extension", "password", "ha1_md5", "ha1_sha256", "rights", "disabled", "created") VALUES ('gwen','admin','en',NULL,'$argon2id$v=19$m=64,t=1,p=1$OYtPjGVMZPEZUyLUWNWHOA$IDf5745byLH2RiBlPoyXlSv7Kt73AN2uZfic9yJUwj0','','','',0,1.79561342427100062e+09);
INSERT INTO users ("name", "role", "language", "extension", "password", "ha1_md5", "ha1_sha256", "rights", "disabled", "created") VALUES ('sian','advisor','en','201','$argon2id$v=19$m=64,t=1,p=1$P1iSRBZmkLjiJ7BxUFzbOw$rfD6osTGP43u4yrzSPp38wlUwIuLBMEtnwAW9qcWk7A','73ed8c71e17000728ab117ab4a087a24','437e40131cf54d45c3450a6d75761530c30b88f0ddaf6a64a146b65aaa3b2c6c','',0,1.79561342427335381e+09);
INSERT INTO contacts ("call_id", "started", "line", "advisor", "extension", "person_id", "confirmation", "version", "purpose", "language", "outcome", "caller_type", "on_behalf_of", "authority", "notes") VALUES ('20261101-080200-bbbbbbbb',1793520120.0,'Council Tax','sian','201','directory:1','confirmed',2,'Band change','cy','Form sent','family','Ann Example','Letter of 3 May','Ffoniodd y mab');
INSERT INTO contact_outbox ("call_id", "version", "payload", "created", "delivered") VALUES ('20261101-080200-bbbbbbbb',1,'{"advisor": "sian", "authority": "Letter of 3 May", "call_id": "20261101-080200-bbbbbbbb", "caller_type": "family", "confirmation": "confirmed", "language": "en", "line": "Council Tax", "notes": "Ffoniodd y mab", "on_behalf_of": "Ann Example", "outcome": "Form sent", "person_id": "directory:1", "purpose": "Band change", "started": 1793520120.0, "version": 1}',1793521050.0,1793521060.0);
INSERT INTO contact_outbox ("call_id", "version", "payload", "created", "delivered") VALUES ('20261101-080200-bbbbbbbb',2,'{"advisor": "sian", "authority": "Letter of 3 May", "call_id": "20261101-080200-bbbbbbbb", "caller_type": "family", "confirmation": "confirmed", "language": "cy", "line": "Council Tax", "notes": "Ffoniodd y mab", "on_behalf_of": "Ann Example", "outcome": "Form sent", "person_id": "directory:1", "purpose": "Band change", "started": 1793520120.0, "version": 2}',1793521100.0,NULL);
INSERT INTO sessions ("token_sha256", "user", "kind", "created", "seen") VALUES ('4c1f0c3a9b2e47768c1d4e5f60718293a4b5c6d7e8f90123456789abcdef0123','sian','page',1793520030.0,1793523600.0);
