-- Webhooks: who is told, what happened, and what became of telling it. The bodies hold everything; beside them stands
-- what is searched for.
CREATE TABLE webhook_subscriptions (
    account TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    schema INTEGER NOT NULL,
    -- Whether any endpoint is to be told of anything: asked at the end of every job.
    listening INTEGER NOT NULL,
    body BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE webhook_events (
    account TEXT NOT NULL,
    job TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    version INTEGER NOT NULL,
    schema INTEGER NOT NULL,
    due_at INTEGER,
    body BLOB NOT NULL,
    PRIMARY KEY (account, job, sequence)
) WITHOUT ROWID;
CREATE INDEX webhook_events_due ON webhook_events (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE webhook_deliveries (
    account TEXT NOT NULL,
    job TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    schema INTEGER NOT NULL,
    due_at INTEGER,
    body BLOB NOT NULL,
    PRIMARY KEY (account, job, sequence, id)
) WITHOUT ROWID;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at) WHERE due_at IS NOT NULL;
