-- What the server itself has counted about this database.
select (select coalesce(sum(s.checksum_failures), 0)::bigint
          from pg_catalog.pg_stat_database s
         where s.datid in (0, d.oid)) as checksum_failures,
       pg_catalog.age(d.datfrozenxid)::bigint as transactions,
       pg_catalog.mxid_age(d.datminmxid)::bigint as multixacts
  from pg_catalog.pg_database d
 where d.datname = pg_catalog.current_database()
