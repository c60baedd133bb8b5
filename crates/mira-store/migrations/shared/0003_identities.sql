-- Who signs in through a provider of OpenID Connect: the provider's word for a person, and the user that stands for it here.

CREATE TABLE identities (
    -- The provider, by its issuer identifier.
    issuer TEXT NOT NULL CHECK (length(issuer) > 0),
    -- The person, by the provider's lasting identifier.
    subject TEXT NOT NULL CHECK (length(subject) > 0),
    user_id TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    PRIMARY KEY (issuer, subject)
);

CREATE INDEX identities_of_user ON identities (user_id);
