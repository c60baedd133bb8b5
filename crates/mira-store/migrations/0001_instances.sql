-- Instances and what belongs to each. No secret, and no content of an app.
--
-- SQLite and Postgres take the same text: TEXT, BIGINT and BOOLEAN only. Times are milliseconds since 1970, in UTC.
-- A migration that was released is never changed: another one follows it. What it adds has defaults, since a Mira that
-- was started before may still be writing.

CREATE TABLE instances (
    id TEXT NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 128),
    name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 63),
    app_id TEXT NOT NULL CHECK (length(app_id) > 0),
    app_name TEXT NOT NULL,
    app_version TEXT NOT NULL,
    package_digest TEXT NOT NULL CHECK (length(package_digest) > 0),
    -- The path that it was opened from.
    source TEXT NOT NULL,
    -- The publisher's key that this instance has seen, once it has seen one.
    publisher_key TEXT,
    -- Whether the user agreed to this very package, though it is not signed, or by another key.
    unsigned_agreed BOOLEAN NOT NULL CHECK (unsigned_agreed IN (TRUE, FALSE)),
    created_ms BIGINT NOT NULL,
    opened_ms BIGINT NOT NULL,
    desired TEXT NOT NULL CHECK (desired IN ('running', 'stopped')),
    -- Set before anything of the instance is removed, so that an interrupted deletion is found and finished.
    deleting BOOLEAN NOT NULL CHECK (deleting IN (TRUE, FALSE))
);

-- A declared name of an instance, and the secret of scope `user` that it refers to.
CREATE TABLE bindings (
    instance_id TEXT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    name TEXT NOT NULL CHECK (length(name) > 0),
    secret TEXT NOT NULL CHECK (length(secret) > 0),
    bound_ms BIGINT NOT NULL,
    PRIMARY KEY (instance_id, name)
);

CREATE INDEX bindings_of_secret ON bindings (secret);

CREATE TABLE settings (
    instance_id TEXT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    name TEXT NOT NULL CHECK (length(name) > 0),
    value TEXT NOT NULL,
    PRIMARY KEY (instance_id, name)
);

CREATE TABLE ports (
    instance_id TEXT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    service TEXT NOT NULL CHECK (length(service) > 0),
    name TEXT NOT NULL CHECK (length(name) > 0),
    number BIGINT NOT NULL UNIQUE CHECK (number BETWEEN 1 AND 65535),
    PRIMARY KEY (instance_id, service, name)
);

-- Wrong guesses of a sealed blob's password: the limiter's state, as JSON.
CREATE TABLE guesses (
    blob_key TEXT NOT NULL PRIMARY KEY CHECK (length(blob_key) > 0),
    state TEXT NOT NULL,
    updated_ms BIGINT NOT NULL
);

CREATE INDEX guesses_by_time ON guesses (updated_ms);

-- The keys that packages of an app were signed with, as far as they were seen here.
CREATE TABLE publishers (
    app_id TEXT NOT NULL CHECK (length(app_id) > 0),
    key TEXT NOT NULL CHECK (length(key) > 0),
    name TEXT NOT NULL,
    first_seen_ms BIGINT NOT NULL,
    PRIMARY KEY (app_id, key)
);
