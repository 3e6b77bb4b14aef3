CREATE TABLE recording_holds (
    call_id VARCHAR(24) NOT NULL,
    reason VARCHAR(200) NOT NULL,
    since FLOAT NOT NULL,
    PRIMARY KEY (call_id),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
);
CREATE TABLE recording_disposals (
    call_id VARCHAR(24) NOT NULL,
    at FLOAT NOT NULL,
    reason VARCHAR(20) NOT NULL,
    PRIMARY KEY (call_id),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
);
UPDATE alembic_version SET version_num = '0003';
INSERT INTO audit_entries ("node", "seq", "at_us", "kind", "body", "hash") VALUES ('old',10,1793692910000000,'day-key','{"at_us":1793692910000000,"commitments":{},"facts":{"previous":"47d5c95926ddce81cdf4419c07e29aba505624e515e3158380a44fa52e249a6f","public_key":"22f1f4a2377884dd900c5700f1b4b0129ebc33342bd06aeea4105d72f22ebdb2","signature":"b624012f4ae8862385f29aa69a821dbad5b04d83f4756541f996992e38c9cad2c3d68b2238d549afc7d367b91f5ecf4f0c397a93b9774c1e8bce264703cd140f"},"kind":"day-key","node":"old","seq":10}','8122b1c03787108d0b19a4e26b5addea8c66941d2803b766c9a50d0bc62e662a');
INSERT INTO audit_entries ("node", "seq", "at_us", "kind", "body", "hash") VALUES ('old',11,1793692910000000,'recording.indexed','{"at_us":1793692910000000,"commitments":{},"facts":{"call_id":"20261103-080100-eeeeeeee","manifest_sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},"kind":"recording.indexed","node":"old","seq":11}','88670148bcf350c8c4489f185fd954a51c9604eae51043f8a393673a18e3a71a');
INSERT INTO audit_entries ("node", "seq", "at_us", "kind", "body", "hash") VALUES ('old',12,1793692920000000,'recording.indexed','{"at_us":1793692920000000,"commitments":{},"facts":{"call_id":"20261103-080200-ffffffff","manifest_sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},"kind":"recording.indexed","node":"old","seq":12}','eff961b756e307689b7baee5234b15cd8b04bcc3b3bd56b84026ff6387d6c193');
INSERT INTO audit_entries ("node", "seq", "at_us", "kind", "body", "hash") VALUES ('old',13,1793692930000000,'recording.held','{"at_us":1793692930000000,"commitments":{"actor":"d9c6208ad9b404f7dd016ad8b2c270df7989c91693244b52d961f44abf0ffe24","reason":"9acbb06f94ba2e7b41486de6f56001520696a006db4232c387441a4914d5982e"},"facts":{"call_id":"20261103-080100-eeeeeeee"},"kind":"recording.held","node":"old","seq":13}','3cea2da416f05425eef34ddba4bb1307e544375902ada35c0b1ee531e0ae9d01');
INSERT INTO audit_values ("node", "seq", "name", "salt", "value") VALUES ('old',13,'actor',X'BB3DBCC47AE771443642DA684755FC04A973F985AF69AC95AA702809A35F060F','user:gwen');
INSERT INTO audit_values ("node", "seq", "name", "salt", "value") VALUES ('old',13,'reason',X'E16A2D17AE4EF1671DAFB1BBFB44DEB79E66A96C46CB814360CDE84268BD24FC','claim 17');
INSERT INTO recording_disposals ("call_id", "at", "reason") VALUES ('20261103-080200-ffffffff',1793693400.0,'retention');
INSERT INTO recording_holds ("call_id", "reason", "since") VALUES ('20261103-080100-eeeeeeee','claim 17',1793693300.0);
INSERT INTO recordings ("call_id", "folder", "started", "talk_us", "interrupted", "number", "line", "advisor", "extension", "payload_size", "payload_sha256", "manifest_sha256", "unexplained_us") VALUES ('20261103-080100-eeeeeeee','2026/11/03',1793692860.0,60000000,0,'+441632960001','Council Tax','sian','201',480000,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',0);
INSERT INTO recordings ("call_id", "folder", "started", "talk_us", "interrupted", "number", "line", "advisor", "extension", "payload_size", "payload_sha256", "manifest_sha256", "unexplained_us") VALUES ('20261103-080200-ffffffff','2026/11/03',1793692920.0,60000000,0,'+441632960001','Council Tax','sian','201',480000,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',0);
