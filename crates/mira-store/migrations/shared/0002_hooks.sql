-- Events that were sent to Mira, and their deliveries to apps.
--
-- `hook_events.body` is content of others: the bytes that were signed, as text. It is there as long as a delivery may need it, and for
-- events that no app takes it never is. All other columns are names, ids, times and numbers.

CREATE TABLE hook_events (
    event_id TEXT NOT NULL PRIMARY KEY CHECK (length(event_id) > 0),
    -- What the sender calls it; a second one of the same id is a repeat.
    sent_id TEXT NOT NULL UNIQUE CHECK (length(sent_id) BETWEEN 1 AND 128),
    event TEXT NOT NULL,
    action TEXT,
    -- The App that it was sent to, by the sender's id.
    sent_to TEXT,
    installation BIGINT,
    repository TEXT,
    number BIGINT,
    accepted_ms BIGINT NOT NULL,
    body_bytes BIGINT NOT NULL,
    body TEXT
);

CREATE INDEX hook_events_by_time ON hook_events (accepted_ms, event_id);

CREATE INDEX hook_events_of_installation ON hook_events (installation);

CREATE TABLE hook_deliveries (
    event_id TEXT NOT NULL REFERENCES hook_events (event_id) ON DELETE CASCADE,
    -- Which app's instance takes it, as `app/name`.
    target TEXT NOT NULL CHECK (length(target) > 0),
    -- Deliveries of one key are made one at a time, in the order of their places.
    order_key TEXT NOT NULL,
    place BIGINT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
    attempts BIGINT NOT NULL,
    queued_ms BIGINT NOT NULL,
    -- Not before this time.
    due_ms BIGINT NOT NULL,
    -- Who is at it, and until when that is believed without a sign of life.
    lease_owner TEXT,
    lease_until_ms BIGINT,
    -- What came of the last attempt.
    answer TEXT,
    finished_ms BIGINT,
    PRIMARY KEY (event_id, target),
    CHECK ((finished_ms IS NULL) = (state IN ('queued', 'running'))),
    CHECK ((lease_owner IS NOT NULL) = (state = 'running'))
);

CREATE INDEX hook_deliveries_open ON hook_deliveries (target, place) WHERE finished_ms IS NULL;

CREATE INDEX hook_deliveries_in_order ON hook_deliveries (order_key, place) WHERE finished_ms IS NULL;

-- How often what came of a request, by the hour.
CREATE TABLE hook_counts (
    hour_ms BIGINT NOT NULL,
    verdict TEXT NOT NULL CHECK (length(verdict) BETWEEN 1 AND 64),
    number BIGINT NOT NULL,
    PRIMARY KEY (hour_ms, verdict)
);
