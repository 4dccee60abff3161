-- Stock of a SKU in a warehouse. The checks are the last line against overselling.
CREATE TABLE stock (
    sku TEXT NOT NULL,
    warehouse TEXT NOT NULL,
    on_hand BIGINT NOT NULL CHECK (on_hand >= 0),
    reserved BIGINT NOT NULL CHECK (reserved >= 0),
    committed BIGINT NOT NULL CHECK (committed >= 0),
    owed_to_holds BIGINT NOT NULL CHECK (owed_to_holds >= 0),
    owed_firmly BIGINT NOT NULL CHECK (owed_firmly >= 0),
    in_transit BIGINT NOT NULL CHECK (in_transit >= 0), -- on their way here
    CHECK (reserved + committed <= on_hand),
    PRIMARY KEY (sku, warehouse)
);

-- What was said about a SKU; most have no row.
CREATE TABLE sku (
    sku TEXT PRIMARY KEY,
    number BIGINT NOT NULL,
    discontinued BIGINT NOT NULL,
    version BIGINT NOT NULL
);

-- Every promise that was asked for, also refused and released ones: their names stay taken.
CREATE TABLE reservation (
    number BIGINT PRIMARY KEY,
    name TEXT NOT NULL, -- owner/name
    fingerprint TEXT NOT NULL,
    status TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    lines TEXT NOT NULL, -- JSON
    short TEXT, -- JSON, where it was refused
    discontinued BIGINT NOT NULL, -- whether that was because it is sold no more
    order_name TEXT,
    attempt BIGINT NOT NULL,
    has_left BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX reservation_name ON reservation (name);

-- What live holds keep, in the order in which they lapse: new ones are appended, and the lapsed ones
-- that nobody has cleared away yet, also those of one SKU, stand together in front.
CREATE TABLE hold (
    expires_at BIGINT NOT NULL,
    reservation BIGINT NOT NULL,
    sku TEXT NOT NULL,
    warehouse TEXT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (expires_at, reservation, sku, warehouse)
);

-- Movements by the names that callers gave them.
CREATE TABLE movement (
    number BIGINT PRIMARY KEY,
    name TEXT NOT NULL, -- owner/name
    fingerprint TEXT NOT NULL,
    sku TEXT NOT NULL,
    warehouse TEXT NOT NULL,
    outcome TEXT NOT NULL, -- JSON
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX movement_name ON movement (name);

-- Room for rows as they will be, so that a change stays on its page.
-- PostgreSQL: ALTER TABLE stock SET (fillfactor = 60);
-- PostgreSQL: ALTER TABLE reservation SET (fillfactor = 60);
