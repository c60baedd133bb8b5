-- What the person decided about hosts that an instance calls, in the spelling of the manifest.

CREATE TABLE net_decisions (
    instance_id TEXT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    host TEXT NOT NULL CHECK (length(host) > 0),
    allow BOOLEAN NOT NULL CHECK (allow IN (TRUE, FALSE)),
    -- No two of an instance are the same, so that their order is known.
    decided_ms BIGINT NOT NULL,
    PRIMARY KEY (instance_id, host)
);
