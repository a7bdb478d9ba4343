-- The columns whose values make a row's digest, by name, and what is taken of each: text and bytea, which may be
-- long, as a hash of their own. Stored generated ones are among them; virtual ones are stored nowhere.
select n.nspname as schema,
       c.relname as name,
       array_agg(a.attname::text order by a.attname) as names,
       array_agg(case when a.atttypid = 'bytea'::regtype then 'bytea'
                      when a.atttypid in ('text'::regtype, 'varchar'::regtype) then 'text'
                      else 'other' end order by a.attname) as forms
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_class c on c.oid = a.attrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p')
   and c.relpersistence <> 't'
   and c.oid >= 16384
   and a.attnum > 0
   and not a.attisdropped
   and a.attgenerated <> 'v'
 group by 1, 2
