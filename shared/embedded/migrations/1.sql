-- Jobs, with the members that are searched for beside the body. The id is the hyphenated UUIDv7: its order is the
-- order of creation.
CREATE TABLE jobs (
    account TEXT NOT NULL,
    id TEXT NOT NULL,
    schema INTEGER NOT NULL,
    state TEXT NOT NULL,
    open INTEGER NOT NULL,
    kind TEXT NOT NULL,
    dataset TEXT,
    name TEXT,
    created INTEGER NOT NULL,
    due_at INTEGER,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX jobs_by_id ON jobs (account, id);
CREATE INDEX jobs_by_state ON jobs (account, state, id);
CREATE INDEX jobs_by_dataset ON jobs (account, dataset, id) WHERE dataset IS NOT NULL;
CREATE INDEX jobs_by_name ON jobs (account, name, id) WHERE name IS NOT NULL;
CREATE INDEX jobs_due ON jobs (due_at, account, id) WHERE due_at IS NOT NULL;
CREATE INDEX jobs_accepted ON jobs (account, id) WHERE state = 'accepted';
CREATE INDEX jobs_processing ON jobs (account, id) WHERE state = 'processing';

CREATE TABLE job_labels (
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (account, key, value, id)
) WITHOUT ROWID;
CREATE INDEX job_labels_of_job ON job_labels (account, id);

-- Counting an account's open jobs at each insert would cost more the more there are, so triggers keep the number.
CREATE TABLE open_jobs (
    account TEXT NOT NULL PRIMARY KEY,
    jobs INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER open_jobs_insert AFTER INSERT ON jobs WHEN NEW.open = 1 BEGIN
    INSERT INTO open_jobs (account, jobs) VALUES (NEW.account, 1)
        ON CONFLICT (account) DO UPDATE SET jobs = jobs + 1;
END;
CREATE TRIGGER open_jobs_update AFTER UPDATE OF open ON jobs WHEN NEW.open <> OLD.open BEGIN
    UPDATE open_jobs SET jobs = jobs + NEW.open - OLD.open WHERE account = NEW.account;
END;
CREATE TRIGGER open_jobs_delete AFTER DELETE ON jobs WHEN OLD.open = 1 BEGIN
    UPDATE open_jobs SET jobs = jobs - 1 WHERE account = OLD.account;
END;

-- At most one message a job.
CREATE TABLE messages (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    job TEXT NOT NULL,
    visible_at INTEGER NOT NULL,
    UNIQUE (account, job)
);

CREATE TABLE accounts (
    id TEXT NOT NULL PRIMARY KEY,
    body BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE tokens (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    hash TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX tokens_by_account ON tokens (account, sequence);
