-- All jobs of an identity that may serve, not the latest alone: what fails or is cancelled is taken out.
ALTER TABLE identities RENAME TO latest_of_identity;
CREATE TABLE identities (
    account TEXT NOT NULL,
    identity TEXT NOT NULL,
    job TEXT NOT NULL,
    PRIMARY KEY (account, identity, job)
) WITHOUT ROWID;
INSERT INTO identities SELECT account, identity, job FROM latest_of_identity;
DROP TABLE latest_of_identity;
CREATE INDEX identities_of_job ON identities (account, job);
