-- The version of the sort order that this server's libraries have for a locale now. to_jsonb, because the column
-- that holds an ICU locale differs by major version.
select pg_catalog.pg_collation_actual_version(c.oid) as version
  from pg_catalog.pg_collation c,
       lateral pg_catalog.to_jsonb(c) row
 where c.collprovider::text = %(provider)s
   and lower(replace(coalesce(row ->> 'colllocale', row ->> 'colliculocale', c.collcollate::text), '-', ''))
       = lower(replace(%(locale)s, '-', ''))
 order by c.oid
 limit 1
