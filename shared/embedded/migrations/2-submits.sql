-- Idempotency keys. Whether one is still known is told by the time in its body; `expires` is for forgetting it.
CREATE TABLE idempotency_keys (
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    expires INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX idempotency_keys_by_key ON idempotency_keys (account, key);
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires);

-- The latest job of each identity.
CREATE TABLE identities (
    account TEXT NOT NULL,
    identity TEXT NOT NULL,
    job TEXT NOT NULL,
    PRIMARY KEY (account, identity)
) WITHOUT ROWID;
CREATE INDEX identities_of_job ON identities (account, job);

-- Submits of each minute since the epoch, of accounts whose plan counts them.
CREATE TABLE submits (
    account TEXT NOT NULL,
    minute INTEGER NOT NULL,
    submits INTEGER NOT NULL,
    PRIMARY KEY (account, minute)
) WITHOUT ROWID;

-- What the jobs delivered that completed on each day since the epoch.
CREATE TABLE delivered (
    account TEXT NOT NULL,
    day INTEGER NOT NULL,
    records INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (account, day)
) WITHOUT ROWID;
