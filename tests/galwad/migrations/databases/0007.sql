CREATE TABLE payment_tokens (
    token_sha256 VARCHAR(64) NOT NULL,
    user VARCHAR(64) NOT NULL,
    call_id VARCHAR(24) NOT NULL,
    created FLOAT NOT NULL,
    expires FLOAT NOT NULL,
    paused FLOAT,
    released FLOAT,
    PRIMARY KEY (token_sha256),
    FOREIGN KEY(user) REFERENCES users (name) ON DELETE CASCADE
);
UPDATE alembic_version SET version_num = '0007';
INSERT INTO users ("name", "role", "language", "extension", "password", "ha1_md5", "ha1_sha256", "rights", "disabled", "created") VALUES ('crm','machine','en',NULL,'!','','','payments',0,1793952000.0);
INSERT INTO payment_tokens ("token_sha256", "user", "call_id", "created", "expires", "paused", "released") VALUES ('cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc','crm','20261106-080100-iiiiiiii',1793952000.0,1793952900.0,1793952010.0,NULL);
