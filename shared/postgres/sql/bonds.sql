-- What is tied to the database %(name)s itself, not to its name: a swap would take it along, or fail at it.
select array(select slot_name::text
               from pg_catalog.pg_replication_slots
              where database = %(name)s
              order by 1) as slots,
       array(select s.subname::text
               from pg_catalog.pg_subscription s
               join pg_catalog.pg_database d on d.oid = s.subdbid
              where d.datname = %(name)s
              order by 1) as subscriptions,
       array(select gid
               from pg_catalog.pg_prepared_xacts
              where database = %(name)s
              order by 1) as prepared
