-- How much of a SKU may be promised without stock, and when goods are expected.
ALTER TABLE sku ADD COLUMN backorder_limit BIGINT NOT NULL DEFAULT 0 CHECK (backorder_limit >= 0);
ALTER TABLE sku ADD COLUMN available_from BIGINT;

-- Who is owed pieces, in the order in which they are served: few have a row.
CREATE TABLE owed (
    sku TEXT NOT NULL,
    warehouse TEXT NOT NULL,
    reservation BIGINT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    missing BIGINT NOT NULL CHECK (missing BETWEEN 0 AND quantity), -- a stock-take has not found them, and nobody has decided yet
    PRIMARY KEY (sku, warehouse, reservation)
);
