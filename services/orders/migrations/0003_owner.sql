-- Whose orders they are: `owner/name` without what a name is made of is `owner/`. No column, for what the release before
-- adds during an update would have nothing in it.
CREATE INDEX orders_owner ON orders (rtrim(name, 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-'), number);
CREATE INDEX orders_owner_status
    ON orders (rtrim(name, 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-'), status, number);
