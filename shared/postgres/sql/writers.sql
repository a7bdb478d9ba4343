-- Transactions that may have written to this database and have not ended, prepared ones included: whoever writes has
-- taken an id first, and holds a lock on it until everybody can see that it has ended.
-- Whose database is not known (it has ended since, or the locks were read before the rest) counts as of this one.
select l.transactionid::text as xid
  from pg_catalog.pg_locks l
  left join pg_catalog.pg_stat_activity a on a.pid = l.pid
  left join pg_catalog.pg_prepared_xacts p on p.transaction = l.transactionid
  join pg_catalog.pg_database d on d.datname = pg_catalog.current_database()
 where l.locktype = 'transactionid'
   and l.mode = 'ExclusiveLock'
   and l.granted
   and coalesce(a.datid, 0) in (0, d.oid)
   and coalesce(p.database, d.datname) = d.datname
