-- Where pieces are free and somebody is owed some: so many are that not all were served at once.
CREATE TABLE unserved (
    sku TEXT NOT NULL,
    warehouse TEXT NOT NULL,
    PRIMARY KEY (sku, warehouse)
);
