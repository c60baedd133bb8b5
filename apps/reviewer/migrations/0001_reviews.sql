-- What the reviewer keeps: each row belongs to one repository by its `repo`. Files from before versions were counted have these tables already.

CREATE TABLE IF NOT EXISTS rv_repository (
    repo BIGINT PRIMARY KEY,
    installation BIGINT NOT NULL,
    name TEXT NOT NULL,
    private BIGINT NOT NULL,
    head TEXT NOT NULL,
    indexed BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS rv_file (
    repo BIGINT NOT NULL,
    path TEXT NOT NULL,
    blob TEXT NOT NULL,
    language TEXT NOT NULL,
    PRIMARY KEY (repo, path)
);

CREATE TABLE IF NOT EXISTS rv_symbol (
    repo BIGINT NOT NULL,
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    line BIGINT NOT NULL,
    end_line BIGINT NOT NULL
);

CREATE INDEX IF NOT EXISTS rv_symbol_path ON rv_symbol (repo, path);

CREATE TABLE IF NOT EXISTS rv_reference (
    repo BIGINT NOT NULL,
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    places TEXT NOT NULL
);

CREATE INDEX IF NOT EXISTS rv_reference_name ON rv_reference (repo, name);

CREATE INDEX IF NOT EXISTS rv_reference_path ON rv_reference (repo, path);

CREATE TABLE IF NOT EXISTS rv_import (
    repo BIGINT NOT NULL,
    path TEXT NOT NULL,
    what TEXT NOT NULL,
    line BIGINT NOT NULL
);

CREATE INDEX IF NOT EXISTS rv_import_path ON rv_import (repo, path);

-- `until` is when the lease of `owner` ends; `rest` names the files that were left out for a limit.
CREATE TABLE IF NOT EXISTS rv_pull (
    repo BIGINT NOT NULL,
    pull BIGINT NOT NULL,
    owner TEXT NOT NULL,
    until BIGINT NOT NULL,
    comment BIGINT NOT NULL,
    bot BIGINT NOT NULL,
    reviewed TEXT NOT NULL,
    paused BIGINT NOT NULL,
    rest TEXT NOT NULL,
    PRIMARY KEY (repo, pull)
);

-- `cause` is empty for what an event asked for, else it names the comment; `draft` is what was computed, until all of it is posted.
CREATE TABLE IF NOT EXISTS rv_pass (
    repo BIGINT NOT NULL,
    pull BIGINT NOT NULL,
    head TEXT NOT NULL,
    cause TEXT NOT NULL,
    state TEXT NOT NULL,
    draft TEXT NOT NULL,
    kept TEXT NOT NULL,
    dropped TEXT NOT NULL,
    computed BIGINT NOT NULL,
    posted BIGINT NOT NULL,
    blocker BIGINT NOT NULL,
    warning BIGINT NOT NULL,
    suggestion BIGINT NOT NULL,
    nitpick BIGINT NOT NULL,
    error TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (repo, pull, head, cause)
);

-- `held` is set aside for a request that is on its way; `cost` is in millionths.
CREATE TABLE IF NOT EXISTS rv_spend (
    repo BIGINT NOT NULL,
    pull BIGINT NOT NULL,
    what TEXT NOT NULL,
    month TEXT NOT NULL,
    tokens BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    held_tokens BIGINT NOT NULL,
    held_cost BIGINT NOT NULL,
    PRIMARY KEY (repo, pull, what, month)
);

CREATE TABLE IF NOT EXISTS rv_alert (
    repo BIGINT NOT NULL,
    pull BIGINT NOT NULL,
    month TEXT NOT NULL,
    share BIGINT NOT NULL,
    PRIMARY KEY (repo, pull, month, share)
);

CREATE TABLE IF NOT EXISTS rv_asked (
    repo BIGINT NOT NULL,
    cause TEXT NOT NULL,
    who BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (repo, cause)
);

CREATE TABLE IF NOT EXISTS rv_rejected (
    repo BIGINT NOT NULL,
    mark TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (repo, mark)
);
