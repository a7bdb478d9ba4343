-- Every btree index that queries may use, the smallest first: most of them within any time.
select c.oid::bigint as oid, c.oid::pg_catalog.regclass::text as name
  from pg_catalog.pg_index i
  join pg_catalog.pg_class c on c.oid = i.indexrelid and c.relkind = 'i' and c.relpersistence <> 't'
  join pg_catalog.pg_am am on am.oid = c.relam and am.amname = 'btree'
 where i.indisvalid and i.indisready
 order by pg_catalog.pg_relation_size(c.oid), c.oid
