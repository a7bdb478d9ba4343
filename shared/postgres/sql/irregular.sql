-- What is not as it should be, or not as safe as the rest: so that a proof does not blame a restore for it.
select array(select i.indexrelid::regclass::text
               from pg_catalog.pg_index i
              where not i.indisvalid and i.indexrelid >= 16384
              order by 1) as invalid_indexes,
       array(select pg_catalog.format('%I on %s', conname,
                        case when conrelid <> 0 then conrelid::regclass::text else contypid::regtype::text end)
               from pg_catalog.pg_constraint
              where not convalidated and oid >= 16384
              order by 1) as unvalidated_constraints,
       array(select oid::regclass::text
               from pg_catalog.pg_class
              where relpersistence = 'u' and relkind in ('r', 'p')
              order by 1) as unlogged_tables
