-- name: doctor_readings
-- What the file and this connection are set to.
SELECT 'version', sqlite_version()
UNION ALL SELECT 'source_id', sqlite_source_id()
UNION ALL SELECT 'journal_mode', (SELECT p.journal_mode FROM pragma_journal_mode AS p)
UNION ALL SELECT 'synchronous', (SELECT p.synchronous FROM pragma_synchronous AS p)
UNION ALL SELECT 'page_size', (SELECT p.page_size FROM pragma_page_size AS p)
UNION ALL SELECT 'page_count', (SELECT p.page_count FROM pragma_page_count AS p)
UNION ALL SELECT 'now', :now
