-- Answers to commands that came with a key, given again to whoever repeats them. The number is ours and
-- grows with time, so rows are added at one end and forgotten at the other; only the name is random.
CREATE TABLE stored_answer (
    number BIGINT PRIMARY KEY,
    name TEXT NOT NULL, -- owner, a space, key
    fingerprint TEXT NOT NULL,
    stored_at BIGINT NOT NULL,
    status BIGINT NOT NULL CHECK (status < 500), -- a failure is no answer
    body TEXT NOT NULL -- JSON
);
CREATE UNIQUE INDEX stored_answer_name ON stored_answer (name);
