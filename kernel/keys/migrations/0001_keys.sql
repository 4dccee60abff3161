-- One row for each secret that was given out: a rotated key has several of one name.
CREATE TABLE api_key (
    number BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    scopes TEXT NOT NULL, -- as they are written, a space between
    secret_hash TEXT NOT NULL, -- SHA-256, in hexadecimal digits
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT
);
CREATE INDEX api_key_name ON api_key (name);

-- What a name stands for, and how many secrets were given out under it.
CREATE TABLE key_name (
    name TEXT NOT NULL PRIMARY KEY,
    secrets BIGINT NOT NULL CHECK (secrets > 0)
);
