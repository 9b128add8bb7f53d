-- Gates: what jobs of one order, lock, rate or share pass through.

-- One for each key of an order, a lock, a rate or a share.
CREATE TABLE dutiful.gate (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app  text NOT NULL,
    kind text NOT NULL,
    key  text NOT NULL,
    UNIQUE (app, kind, key)
);
