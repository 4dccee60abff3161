-- What a service published, in the order of its commits: outbox, history and journal in one.
CREATE TABLE event (
    position BIGINT PRIMARY KEY,
    partition BIGINT NOT NULL,
    stream BIGINT NOT NULL,
    version BIGINT NOT NULL,
    subject TEXT NOT NULL,
    type TEXT NOT NULL,
    schema BIGINT NOT NULL,
    occurred_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    trace TEXT NOT NULL,
    correlation TEXT NOT NULL,
    causation TEXT NOT NULL,
    actor TEXT NOT NULL,
    owner TEXT NOT NULL,
    origin TEXT NOT NULL,
    market TEXT,
    body TEXT NOT NULL
);
CREATE UNIQUE INDEX event_stream ON event (stream, version);

-- The life of this database: another number after it was restored from a backup.
CREATE TABLE incarnation (
    number BIGINT PRIMARY KEY
);

-- How far each partition of each feed that this service listens to has been dealt with.
CREATE TABLE feed_cursor (
    feed TEXT PRIMARY KEY, -- source/partition
    position BIGINT NOT NULL
);

-- Where reading a feed begins after a start: all up to here has been dealt with.
CREATE TABLE feed_start (
    source TEXT PRIMARY KEY,
    incarnation BIGINT NOT NULL,
    position BIGINT NOT NULL
);

-- Events that could not be dealt with yet, and those of the same subject that wait behind them.
CREATE TABLE parked_event (
    source TEXT NOT NULL,
    position BIGINT NOT NULL,
    subject TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    cause TEXT NOT NULL,
    envelope TEXT NOT NULL,
    PRIMARY KEY (source, position)
);
CREATE INDEX parked_event_subject ON parked_event (subject, position);

-- Events that will never be dealt with unless somebody replays them.
CREATE TABLE dead_letter (
    source TEXT NOT NULL,
    position BIGINT NOT NULL,
    subject TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    died_at BIGINT NOT NULL,
    cause TEXT NOT NULL,
    envelope TEXT NOT NULL,
    PRIMARY KEY (source, position)
);
