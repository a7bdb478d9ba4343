-- Of some tables: which file they are, and what decides how their rows read. Only of those whose rows change with
-- their pages alone. Call it when they are locked, for a rewrite gives a table another file.
--
-- A table that is not logged is in no summary. A value that is a name of something else (regclass, aclitem) reads
-- otherwise when that is renamed: tables with such a value in any of their types are left out.
--
-- Rows of the catalog are told by the transactions that wrote them: what is changed and changed back differs too.
with recursive wanted as (
    select c.oid, n.nspname, c.relname, c.reltablespace, c.relam, c.reltoastrelid
      from unnest(%(schemas)s::text[], %(names)s::text[]) w (schema, name)
      join pg_catalog.pg_namespace n on n.nspname::text = w.schema
      join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname::text = w.name
     where c.relkind = 'r'
       and c.relpersistence = 'p'
),
attributes as (
    select w.oid as relid, a.atttypid, a.attisdropped,
           pg_catalog.concat_ws(' ', a.attnum, a.atttypid, a.atttypmod, a.attisdropped, a.xmin) as told
      from wanted w
      join pg_catalog.pg_attribute a on a.attrelid = w.oid
     where a.attnum > 0
),
used as (
    select relid, atttypid as typid
      from attributes
     where not attisdropped
    union
    select used.relid, made_of.typid
      from used
      join pg_catalog.pg_type t on t.oid = used.typid
     cross join lateral (
            select t.typelem as typid
            union all
            select t.typbasetype
            union all
            select r.rngsubtype
              from pg_catalog.pg_range r
             where t.oid in (r.rngtypid, r.rngmultitypid)
            union all
            select a.atttypid
              from pg_catalog.pg_attribute a
             where t.typrelid <> 0
               and a.attrelid = t.typrelid
               and a.attnum > 0
               and not a.attisdropped) made_of
     where made_of.typid <> 0
),
-- Types that come with the server change with the server, which is then started again.
types as (
    select u.relid,
           out.prosrc ~ '^(reg[a-z]+|aclitem)out$' as is_name,
           case when t.oid >= 16384
                then pg_catalog.concat_ws(' ', t.oid, t.xmin, out.oid, out.xmin, send.oid, send.xmin,
                     (select pg_catalog.string_agg(pg_catalog.concat_ws(' ', e.oid, e.xmin), ' ' order by e.oid)
                        from pg_catalog.pg_enum e
                       where e.enumtypid = t.oid),
                     (select pg_catalog.string_agg(
                                 pg_catalog.concat_ws(' ', a.attnum, a.atttypid, a.atttypmod, a.attisdropped, a.xmin), ' '
                                 order by a.attnum)
                        from pg_catalog.pg_attribute a
                       where t.typrelid <> 0
                         and a.attrelid = t.typrelid
                         and a.attnum > 0),
                     (select pg_catalog.string_agg(x.xmin::text, ' ')
                        from pg_catalog.pg_depend d
                        join pg_catalog.pg_extension x on x.oid = d.refobjid
                       where d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
                         and d.objid = t.oid
                         and d.deptype = 'e'),
                     -- Its output may heed settings of its own.
                     case when t.typtype = 'b' and t.typelem = 0 then settings.told end)
           end as told
      from used u
      join pg_catalog.pg_type t on t.oid = u.typid
      join pg_catalog.pg_proc out on out.oid = t.typoutput
      left join pg_catalog.pg_proc send on send.oid = t.typsend
     cross join (select pg_catalog.string_agg(pg_catalog.concat_ws(' ', s.setdatabase, s.setrole, s.xmin), ' '
                                              order by s.setdatabase, s.setrole) as told
                   from pg_catalog.pg_db_role_setting s) settings
)
select w.nspname::text as schema,
       w.relname::text as name,
       pg_catalog.pg_relation_filenode(w.oid)::bigint as filenode,
       pg_catalog.concat_ws('; ', w.oid, w.reltablespace, w.relam, w.reltoastrelid,
              pg_catalog.pg_relation_filenode(nullif(w.reltoastrelid, 0)),
              (select pg_catalog.string_agg(a.told, ', ' order by a.told) from attributes a where a.relid = w.oid),
              (select pg_catalog.string_agg(t.told, ', ' order by t.told) from types t where t.relid = w.oid))
       as definition
  from wanted w
 where not exists (select from types t where t.relid = w.oid and t.is_name)
   and pg_catalog.pg_relation_filenode(w.oid) is not null
