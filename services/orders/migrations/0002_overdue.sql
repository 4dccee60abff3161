-- How often the step at which an order stands was found overdue. What waits already counts from here on, so it is asked
-- for a little more often at first.
ALTER TABLE orders ADD COLUMN overdue BIGINT NOT NULL DEFAULT 0 CHECK (overdue >= 0);
