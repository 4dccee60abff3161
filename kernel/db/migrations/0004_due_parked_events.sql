-- Which parked events are due is found without reading all of them.
CREATE INDEX parked_event_due ON parked_event (source, due_at, position);
