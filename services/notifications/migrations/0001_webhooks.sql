-- How far messages are numbered, and which process delivers them; one row, which every batch locks first, so that
-- numbers follow the order of commits.
CREATE TABLE counter (
    number BIGINT PRIMARY KEY CHECK (number = 1),
    newest BIGINT NOT NULL CHECK (newest >= 0),
    courier BIGINT NOT NULL,
    courier_until BIGINT NOT NULL
);
INSERT INTO counter (number, newest, courier, courier_until) VALUES (1, 0, 0, 0);

-- Endpoints: all messages up to the cursor are settled, or have a row in delivery.
CREATE TABLE endpoint (
    number BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    keeps BIGINT NOT NULL CHECK (keeps IN (0, 1)),
    cursor BIGINT NOT NULL CHECK (cursor >= 0),
    version BIGINT NOT NULL CHECK (version > 0),
    said BIGINT NOT NULL CHECK (said >= 0),
    state TEXT NOT NULL
);

-- Events that some endpoint wants, each once, as they are sent.
CREATE TABLE message (
    number BIGINT PRIMARY KEY,
    id TEXT NOT NULL,
    endpoint BIGINT,
    subject TEXT NOT NULL,
    type TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    body TEXT NOT NULL
);

-- What was sent, and what has to be sent again (due_at).
CREATE TABLE delivery (
    message BIGINT NOT NULL,
    endpoint BIGINT NOT NULL,
    subject TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    due_at BIGINT,
    status TEXT NOT NULL CHECK (status IN ('waiting', 'retrying', 'delivered', 'failed')),
    state TEXT NOT NULL,
    PRIMARY KEY (message, endpoint),
    CHECK ((due_at IS NULL) = (status IN ('delivered', 'failed')))
);
CREATE INDEX delivery_log ON delivery (endpoint, message);
CREATE INDEX delivery_due ON delivery (endpoint, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX delivery_behind ON delivery (endpoint, subject, message) WHERE due_at IS NOT NULL;
