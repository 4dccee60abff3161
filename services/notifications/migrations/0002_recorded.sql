-- Which messages are of a time: what is asked for again by time is found here.
CREATE INDEX message_recorded ON message (recorded_at, number);
