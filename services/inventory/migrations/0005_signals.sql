-- Up to how many pieces there are few of a SKU, where that is otherwise than the setting says.
ALTER TABLE sku ADD COLUMN low_upto BIGINT CHECK (low_upto >= 0);
