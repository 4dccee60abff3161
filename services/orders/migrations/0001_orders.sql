-- Each order as its events have made it.
CREATE TABLE orders (
    number BIGINT PRIMARY KEY,
    name TEXT NOT NULL, -- owner/name
    placed TEXT NOT NULL, -- the event that began it, as JSON
    customer TEXT,
    placed_at BIGINT NOT NULL,
    status TEXT NOT NULL,
    step TEXT,
    reason TEXT,
    reservation_status TEXT NOT NULL,
    payment_status TEXT NOT NULL,
    may_be_committed BIGINT NOT NULL,
    pay_until BIGINT,
    due_at BIGINT, -- when it is looked at whether its step is overdue: at its deadline or before
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX orders_name ON orders (name);
CREATE INDEX orders_due ON orders (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX orders_status ON orders (status, number);
CREATE INDEX orders_customer ON orders (customer, number) WHERE customer IS NOT NULL;

-- Room for rows as they will be, so that a change stays on its page.
-- PostgreSQL: ALTER TABLE orders SET (fillfactor = 60);
