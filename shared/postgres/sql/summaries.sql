select s.tli::bigint as timeline,
       (s.start_lsn - '0/0'::pg_catalog.pg_lsn)::bigint as "start",
       (s.end_lsn - '0/0'::pg_catalog.pg_lsn)::bigint as "end"
  from pg_catalog.pg_available_wal_summaries() s
