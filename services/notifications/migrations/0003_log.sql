-- What an endpoint was sent is listed by status too, however few of all there are of it.
DROP INDEX delivery_log;
CREATE INDEX delivery_log ON delivery (endpoint, status, message);
