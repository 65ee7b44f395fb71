-- Batches: jobs that belong to another job, their container. They are in no list of jobs, so the indexes that lists walk
-- leave them out: a list costs the same however many batches there are.
ALTER TABLE jobs ADD COLUMN container TEXT;
DROP INDEX jobs_by_state;
DROP INDEX jobs_by_dataset;
DROP INDEX jobs_by_name;
CREATE INDEX jobs_listed ON jobs (account, id) WHERE container IS NULL;
CREATE INDEX jobs_by_state ON jobs (account, state, id) WHERE container IS NULL;
CREATE INDEX jobs_by_dataset ON jobs (account, dataset, id) WHERE container IS NULL AND dataset IS NOT NULL;
CREATE INDEX jobs_by_name ON jobs (account, name, id) WHERE container IS NULL AND name IS NOT NULL;
CREATE INDEX batches_by_id ON jobs (account, container, id) WHERE container IS NOT NULL;
CREATE INDEX batches_by_name ON jobs (account, container, name) WHERE container IS NOT NULL AND name IS NOT NULL;
