-- When more of a SKU is wanted in a warehouse; most have no row.
CREATE TABLE restock (
    sku TEXT NOT NULL,
    warehouse TEXT NOT NULL,
    number BIGINT NOT NULL,
    threshold BIGINT CHECK (threshold > 0), -- none where nothing is asked for any more
    target BIGINT CHECK (target >= threshold),
    is_low BIGINT NOT NULL, -- whether it was said that more is needed
    version BIGINT NOT NULL,
    PRIMARY KEY (sku, warehouse)
);
