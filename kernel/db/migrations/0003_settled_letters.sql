-- What people did with dead letters, and why. The number is ours and grows with time.
CREATE TABLE settled_letter (
    number BIGINT PRIMARY KEY,
    source TEXT NOT NULL,
    position BIGINT NOT NULL,
    subject TEXT NOT NULL,
    type TEXT NOT NULL,
    cause TEXT NOT NULL, -- why it had been given up
    became TEXT NOT NULL CHECK (became IN ('replayed', 'discarded')),
    settled_at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL
);
