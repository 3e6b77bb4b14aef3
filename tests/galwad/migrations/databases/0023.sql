ALTER TABLE sessions ADD COLUMN stepped_up FLOAT;
UPDATE alembic_version SET version_num = '0023';
INSERT INTO sessions ("token_sha256", "user", "kind", "created", "seen", "provider", "stepped_up") VALUES ('7f1f0c3a9b2e47768c1d4e5f60718293a4b5c6d7e8f90123456789abcdef0123','gwen','page',1794643200.0,1794643200.0,1,1794643260.0);
