-- Records: what supervision counts on.

-- When each of those who watch last looked (bookkeeper, reaper, scheduler...). Older than three periods is silent.
CREATE TABLE dutiful_watcher (
    app     text NOT NULL,
    name    text NOT NULL,
    period  integer NOT NULL,
    last_at integer NOT NULL,
    note    text NOT NULL DEFAULT '',
    PRIMARY KEY (app, name)
);
