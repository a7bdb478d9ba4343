-- Every sequence that fills a column with whole numbers: as its identity, as its serial, or by its default alone.
select distinct on (seq_ns.nspname, seq.relname, tab_ns.nspname, tab.relname, a.attname)
       seq_ns.nspname as schema,
       seq.relname as name,
       tab_ns.nspname as table_schema,
       tab.relname as table_name,
       a.attname as column_name,
       s.seqincrement as increment
  from pg_catalog.pg_sequence s
  join pg_catalog.pg_class seq on seq.oid = s.seqrelid
  join pg_catalog.pg_namespace seq_ns on seq_ns.oid = seq.relnamespace
  join (select d.objid as seqrelid, d.refobjid as relid, d.refobjsubid as attnum
          from pg_catalog.pg_depend d
         where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
           and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
           and d.deptype in ('a', 'i') and d.refobjsubid > 0
         union all
        select d.refobjid, def.adrelid, def.adnum
          from pg_catalog.pg_attrdef def
          join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
                                     and d.objid = def.oid
                                     and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
                                     and d.refobjsubid = 0) fills on fills.seqrelid = s.seqrelid
  join pg_catalog.pg_class tab on tab.oid = fills.relid and tab.relkind in ('r', 'p')
  join pg_catalog.pg_namespace tab_ns on tab_ns.oid = tab.relnamespace
  join pg_catalog.pg_attribute a on a.attrelid = tab.oid and a.attnum = fills.attnum and not a.attisdropped
 where a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype)
   and not s.seqcycle
   and seq.relpersistence <> 't'
 order by seq_ns.nspname, seq.relname, tab_ns.nspname, tab.relname, a.attname
