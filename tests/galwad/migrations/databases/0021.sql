CREATE TABLE second_factors (
    user VARCHAR(64) NOT NULL,
    secret VARCHAR(200) NOT NULL,
    last_step INTEGER NOT NULL,
    created FLOAT NOT NULL,
    recovery_used FLOAT,
    PRIMARY KEY (user),
    FOREIGN KEY(user) REFERENCES users (name) ON DELETE CASCADE
);
CREATE TABLE recovery_codes (
    digest VARCHAR(64) NOT NULL,
    user VARCHAR(64) NOT NULL,
    used FLOAT,
    PRIMARY KEY (digest),
    FOREIGN KEY(user) REFERENCES users (name) ON DELETE CASCADE
);
CREATE INDEX ix_recovery_codes_user ON recovery_codes (user);
ALTER TABLE sessions ADD COLUMN needs_second_factor BOOLEAN DEFAULT 0 NOT NULL;
UPDATE alembic_version SET version_num = '0021';
INSERT INTO second_factors ("user", "secret", "last_step", "created", "recovery_used") VALUES ('sian','AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7',59821440,1794643200.0,NULL);
INSERT INTO recovery_codes ("digest", "user", "used") VALUES ('80beffafe1cab6a9483b5f9547e47f138c5857665388b0bb4f5503f5a107f977','sian',NULL);
INSERT INTO recovery_codes ("digest", "user", "used") VALUES ('f75cb3e308c86fdbf76d9c3bbfab9092edad50132d4bffbc0d0fc8f7b3bfb9b9','sian',1794643260.0);
INSERT INTO sessions ("token_sha256", "user", "kind", "created", "seen", "needs_second_factor") VALUES ('6e1f0c3a9b2e47768c1d4e5f60718293a4b5c6d7e8f90123456789abcdef0123','huw','page',1794643200.0,1794643200.0,1);
