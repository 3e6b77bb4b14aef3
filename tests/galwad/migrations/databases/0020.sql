CREATE TABLE identities (
    issuer VARCHAR(255) NOT NULL,
    subject VARCHAR(255) NOT NULL,
    user VARCHAR(64) NOT NULL,
    created FLOAT NOT NULL,
    PRIMARY KEY (issuer, subject),
    FOREIGN KEY(user) REFERENCES users (name) ON DELETE CASCADE
);
CREATE INDEX ix_identities_user ON identities (user);
ALTER TABLE sessions ADD COLUMN provider BOOLEAN DEFAULT 0 NOT NULL;
UPDATE alembic_version SET version_num = '0020';
INSERT INTO identities ("issuer", "subject", "user", "created") VALUES ('https://login.example/v2.0','00000000-0000-0000-0000-000000000001','gwen',1794643200.0);
INSERT INTO sessions ("token_sha256", "user", "kind", "created", "seen", "provider") VALUES ('5d1f0c3a9b2e47768c1d4e5f60718293a4b5c6d7e8f90123456789abcdef0123','gwen','page',1794643200.0,1794643200.0,1);
