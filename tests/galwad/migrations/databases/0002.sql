CREATE TABLE answered_calls (
    call_id VARCHAR(24) NOT NULL,
    answered FLOAT NOT NULL,
    ended FLOAT,
    talk_us BIGINT,
    PRIMARY KEY (call_id)
);
CREATE INDEX ix_answered_calls_answered ON answered_calls (answered);
CREATE TABLE coverage_findings (
    "key" VARCHAR(300) NOT NULL,
    first_seen FLOAT NOT NULL,
    PRIMARY KEY ("key")
);
UPDATE alembic_version SET version_num = '0002';
INSERT INTO answered_calls ("call_id", "answered", "ended", "talk_us") VALUES ('20261102-080100-dddddddd',1793606460.0,1793606520.0,60000000);
INSERT INTO audit_entries ("node", "seq", "at_us", "kind", "body", "hash") VALUES ('old',8,1793606510000000,'day-key','{"at_us":1793606510000000,"commitments":{},"facts":{"previous":"5ef0a5d0cfb4462ffbe2a16d8766223db820785be433a3c63904de1dc7bbfc58","public_key":"47d5c95926ddce81cdf4419c07e29aba505624e515e3158380a44fa52e249a6f","signature":"74ab5bf7ad365a7317e5a391f21288b6328a8cd5f3f232653e2a040a1ed112b3f2f073afe35ae9a4c2cbff719883aa2e8efc78ac335a5873aaedde0b7dee250e"},"kind":"day-key","node":"old","seq":8}','2966b715881022a4d7bae1cb07c3a765ea599ee8eec6ff1f782268eec1b441b1');
INSERT INTO audit_entries ("node", "seq", "at_us", "kind", "body", "hash") VALUES ('old',9,1793606510000000,'recording.indexed','{"at_us":1793606510000000,"commitments":{},"facts":{"call_id":"20261102-080100-dddddddd","manifest_sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},"kind":"recording.indexed","node":"old","seq":9}','da49df6bcf48be4953975de4c22c69d2e1027eb46e755c556a3f33fb417ac90d');
INSERT INTO coverage_findings ("key", "first_seen") VALUES ('archive.orphan files without row 2026/10/31/20261031-101500-oooooooo',1793606900.0);
INSERT INTO recordings ("call_id", "folder", "started", "talk_us", "interrupted", "number", "line", "advisor", "extension", "payload_size", "payload_sha256", "manifest_sha256", "unexplained_us") VALUES ('20261102-080100-dddddddd','2026/11/02',1793606460.0,60000000,0,'+441632960001','Council Tax','sian','201',480000,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',0);
