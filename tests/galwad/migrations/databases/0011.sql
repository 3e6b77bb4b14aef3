CREATE TABLE recording_networks (
    call_id VARCHAR(24) NOT NULL,
    channel VARCHAR(20) NOT NULL,
    received BIGINT NOT NULL,
    lost BIGINT NOT NULL,
    late BIGINT NOT NULL,
    duplicate BIGINT NOT NULL,
    loss_bursts BIGINT NOT NULL,
    longest_loss BIGINT NOT NULL,
    jitter_us BIGINT NOT NULL,
    jitter_most_us BIGINT NOT NULL,
    mos FLOAT,
    PRIMARY KEY (call_id, channel),
    FOREIGN KEY(call_id) REFERENCES recordings (call_id)
);
UPDATE alembic_version SET version_num = '0011';
INSERT INTO recordings ("call_id", "folder", "started", "talk_us", "interrupted", "number", "line", "advisor", "extension", "payload_size", "payload_sha256", "manifest_sha256", "unexplained_us", "raw_size") VALUES ('20261111-080100-mmmmmmmm','2026/11/11',1794384060.0,60000000,0,'+441632960001','Council Tax','sian','302',480000,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',0,0);
INSERT INTO recording_networks ("call_id", "channel", "received", "lost", "late", "duplicate", "loss_bursts", "longest_loss", "jitter_us", "jitter_most_us", "mos") VALUES ('20261111-080100-mmmmmmmm','caller',2900,100,3,2,60,7,4200,31000,3.87);
INSERT INTO recording_networks ("call_id", "channel", "received", "lost", "late", "duplicate", "loss_bursts", "longest_loss", "jitter_us", "jitter_most_us", "mos") VALUES ('20261111-080100-mmmmmmmm','advisor',3000,0,0,0,0,0,900,2100,4.41);
