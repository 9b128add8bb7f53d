-- name: doctor_readings
-- What the server and this session are set to, who holds old snapshots, how full it is. Columns of
-- other users' sessions are null unless this user may read them.
SELECT s.name, s.setting FROM pg_catalog.pg_settings AS s
 WHERE s.name IN ('server_version', 'server_version_num', 'synchronous_commit', 'fsync',
                  'full_page_writes', 'autovacuum', 'track_counts', 'max_connections',
                  'superuser_reserved_connections', 'synchronous_standby_names',
                  'old_snapshot_threshold', 'idle_in_transaction_session_timeout')
UNION ALL SELECT 'in_recovery', pg_catalog.pg_is_in_recovery()::text
UNION ALL SELECT 'pid', pg_catalog.pg_backend_pid()::text
UNION ALL SELECT 'sees_all', (SELECT bool_or(pg_catalog.pg_has_role(r.oid, 'USAGE'))::text
                                FROM pg_catalog.pg_roles AS r WHERE r.rolname = 'pg_read_all_stats')
UNION ALL SELECT 'connections', count(*)::text FROM pg_catalog.pg_stat_activity AS a
           WHERE a.backend_type = 'client backend'
UNION ALL SELECT 'snapshot_xids', max(pg_catalog.age(a.backend_xmin))::text
            FROM pg_catalog.pg_stat_activity AS a WHERE a.pid <> pg_catalog.pg_backend_pid()
UNION ALL (SELECT 'snapshot_s', extract(epoch FROM clock_timestamp() - a.xact_start)::bigint::text
             FROM pg_catalog.pg_stat_activity AS a
            WHERE a.backend_xmin IS NOT NULL AND a.xact_start IS NOT NULL
              AND a.pid <> pg_catalog.pg_backend_pid() ORDER BY a.xact_start LIMIT 1)
UNION ALL (SELECT 'snapshot_who', format('pid %s, %s%s, %s', a.pid, a.usename,
                  CASE WHEN a.application_name <> '' THEN ' (' || a.application_name || ')' ELSE '' END,
                  coalesce(a.state, a.backend_type))
             FROM pg_catalog.pg_stat_activity AS a
            WHERE a.backend_xmin IS NOT NULL AND a.xact_start IS NOT NULL
              AND a.pid <> pg_catalog.pg_backend_pid() ORDER BY a.xact_start LIMIT 1)
UNION ALL SELECT 'standbys', count(*)::text FROM pg_catalog.pg_stat_replication AS r
           WHERE r.state IS DISTINCT FROM 'backup'
UNION ALL SELECT 'xid_age', pg_catalog.age(b.datfrozenxid)::text FROM pg_catalog.pg_database AS b
           WHERE b.datname = pg_catalog.current_database()
UNION ALL SELECT 'mxid_age', pg_catalog.mxid_age(b.datminmxid)::text FROM pg_catalog.pg_database AS b
           WHERE b.datname = pg_catalog.current_database()
UNION ALL SELECT 'slots_holding', count(*)::text FROM pg_catalog.pg_replication_slots AS r
           WHERE coalesce(r.xmin, r.catalog_xmin) IS NOT NULL AND NOT r.active
UNION ALL SELECT 'prepared', count(*)::text FROM pg_catalog.pg_prepared_xacts
UNION ALL SELECT 'vacuum_off', string_agg(c.relname, ', ') FROM pg_catalog.pg_class AS c
            JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
           WHERE n.nspname = 'dutiful' AND c.reloptions::text ~ 'autovacuum_enabled=(false|off|0|no)'
UNION ALL SELECT 'dead_rows', t.n_dead_tup::text FROM pg_catalog.pg_stat_user_tables AS t
           WHERE t.schemaname = 'dutiful' AND t.relname = 'job'
UNION ALL SELECT 'live_rows', t.n_live_tup::text FROM pg_catalog.pg_stat_user_tables AS t
           WHERE t.schemaname = 'dutiful' AND t.relname = 'job'
UNION ALL SELECT 'now', :now::text
