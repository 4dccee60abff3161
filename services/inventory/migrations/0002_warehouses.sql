-- What was said of a warehouse; most have no row.
CREATE TABLE warehouse (
    warehouse TEXT PRIMARY KEY,
    number BIGINT NOT NULL,
    name TEXT,
    priority BIGINT,
    markets TEXT NOT NULL, -- JSON
    active BIGINT NOT NULL,
    version BIGINT NOT NULL
);

-- How a reservation may be served, as JSON, where whoever asked for it has said so.
ALTER TABLE reservation ADD COLUMN terms TEXT;
