-- Payments: each row is folded from the events of its stream, beside what is to be done next.
CREATE TABLE payment (
    number BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE, -- owner/name
    order_name TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('requested', 'authorizing', 'action_required', 'unknown', 'authorized', 'capturing', 'captured', 'capture_failed', 'voiding', 'voided', 'declined', 'refunding', 'refunded')),
    version BIGINT NOT NULL CHECK (version > 0),
    due_at BIGINT,
    asked BIGINT NOT NULL CHECK (asked >= 0),
    state TEXT NOT NULL,
    context TEXT NOT NULL
);
CREATE INDEX payment_due ON payment (due_at, number) WHERE due_at IS NOT NULL;

-- Room for rows as they will be, so that a change stays on its page.
-- PostgreSQL: ALTER TABLE payment SET (fillfactor = 60);
