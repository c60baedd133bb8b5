-- People, what they are signed in with, and what they did. No secret: of a token there is a hash, of a password what Argon2id made of it.
--
-- SQLite and Postgres take the same text: TEXT, BIGINT and BOOLEAN only. Times are milliseconds since 1970, in UTC.
-- A migration that was released is never changed: another one follows it. What it adds has defaults, since a Mira that
-- was started before may still be writing.

CREATE TABLE users (
    user_id TEXT NOT NULL PRIMARY KEY CHECK (length(user_id) > 0),
    -- In the one spelling that names are compared in.
    user_name TEXT NOT NULL UNIQUE CHECK (length(user_name) BETWEEN 1 AND 64),
    role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    -- As a PHC string; nothing for who signs in elsewhere.
    password_hash TEXT CHECK (length(password_hash) BETWEEN 1 AND 512),
    disabled BOOLEAN NOT NULL CHECK (disabled IN (TRUE, FALSE)),
    -- Counts what ends all sessions: another password, another role, being disabled.
    credentials_version BIGINT NOT NULL,
    user_created_ms BIGINT NOT NULL,
    user_changed_ms BIGINT NOT NULL
);

CREATE TABLE sessions (
    session_id TEXT NOT NULL PRIMARY KEY CHECK (length(session_id) > 0),
    session_hash TEXT NOT NULL UNIQUE CHECK (length(session_hash) = 64),
    -- Nobody here is the local owner.
    user_id TEXT REFERENCES users (user_id) ON DELETE CASCADE,
    -- The version of the credentials that it began with; it is worth nothing with another.
    of_version BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('password', 'one_time_link', 'oidc')),
    idle_ms BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    seen_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    address TEXT,
    user_agent TEXT NOT NULL
);

CREATE INDEX sessions_of_user ON sessions (user_id);

CREATE TABLE links (
    link_hash TEXT NOT NULL PRIMARY KEY CHECK (length(link_hash) = 64),
    purpose TEXT NOT NULL CHECK (purpose IN ('local_owner', 'first_admin')),
    made_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

CREATE TABLE api_tokens (
    api_token_id TEXT NOT NULL PRIMARY KEY CHECK (length(api_token_id) > 0),
    api_token_hash TEXT NOT NULL UNIQUE CHECK (length(api_token_hash) = 64),
    user_id TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    label TEXT NOT NULL CHECK (length(label) > 0),
    scope TEXT NOT NULL CHECK (scope IN ('read', 'operate', 'admin')),
    created_ms BIGINT NOT NULL,
    used_ms BIGINT,
    expires_ms BIGINT
);

CREATE INDEX api_tokens_of_user ON api_tokens (user_id);

-- Wrong passwords, by a hash of the account's name and by the address that they came from.
CREATE TABLE login_throttles (
    throttle_key TEXT NOT NULL PRIMARY KEY CHECK (length(throttle_key) > 0),
    failures BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    until_ms BIGINT NOT NULL
);

-- Who did what. Rows are added, and the oldest removed; none is changed.
CREATE TABLE audit (
    audit_id TEXT NOT NULL PRIMARY KEY CHECK (length(audit_id) > 0),
    time_ms BIGINT NOT NULL,
    -- As the name was then; the user may be gone.
    actor_id TEXT,
    actor TEXT NOT NULL,
    address TEXT,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    outcome TEXT NOT NULL
);

CREATE INDEX audit_by_time ON audit (time_ms, audit_id);
