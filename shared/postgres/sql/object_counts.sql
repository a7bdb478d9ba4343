-- How many there are of each kind of object. PostgreSQL's own (those below the first oid that a user's object
-- gets) and those of extensions are left out; so is the schema public, which every database has. What the
-- server makes for itself, as for each partition of a foreign key, is not counted: that differs by version.
with member as (
    select classid, objid from pg_catalog.pg_depend where deptype = 'e'
),
relation as (
    select c.*
      from pg_catalog.pg_class c
     where c.oid >= 16384
       and c.relpersistence <> 't'
       and c.relkind <> 't'
       and c.relnamespace <> 'pg_toast'::regnamespace
       and (c.oid not in (select objid from member where classid = 'pg_class'::regclass))
),
counted (kind, n) as (
    select case relkind when 'r' then 'tables' when 'p' then 'partitioned tables' when 'v' then 'views'
                        when 'm' then 'materialized views' when 'f' then 'foreign tables'
                        when 'c' then 'composite types' end,
           count(*)
      from relation where relkind in ('r', 'p', 'v', 'm', 'f', 'c') group by 1
    union all
    select case when a.attgenerated <> '' then 'generated columns' else 'columns' end, count(*)
      from pg_catalog.pg_attribute a join relation on relation.oid = a.attrelid
     where relation.relkind in ('r', 'p', 'v', 'm', 'f', 'c') and a.attnum > 0 and not a.attisdropped group by 1
    union all
    select 'columns that refuse null', count(*)
      from pg_catalog.pg_attribute a join relation on relation.oid = a.attrelid
     where relation.relkind in ('r', 'p', 'f') and a.attnum > 0 and a.attnotnull and not a.attisdropped
    union all
    select 'column defaults', count(*) from pg_catalog.pg_attrdef d join relation on relation.oid = d.adrelid
    union all
    select 'indexes', count(*)
      from pg_catalog.pg_index i join relation on relation.oid = i.indexrelid where i.indisvalid
    union all
    select case contype when 'c' then 'check constraints' when 'p' then 'primary keys' when 'u' then 'unique constraints'
                        when 'f' then 'foreign keys' when 'x' then 'exclusion constraints' end, count(*)
      from pg_catalog.pg_constraint k
     where k.oid >= 16384 and contype in ('c', 'p', 'u', 'f', 'x') and conparentid = 0
       and (conrelid = 0 or conrelid in (select oid from relation))
       and (contypid = 0 or contypid not in (select objid from member where classid = 'pg_type'::regclass))
     group by 1
    union all
    select case when tgenabled = 'D' then 'disabled triggers' else 'triggers' end, count(*)
      from pg_catalog.pg_trigger where not tgisinternal and tgparentid = 0
       and tgrelid in (select oid from relation) group by 1
    union all
    select 'policies', count(*) from pg_catalog.pg_policy
    union all
    select 'tables under row-level security', count(*) from relation where relrowsecurity
    union all
    select 'rules', count(*) from pg_catalog.pg_rewrite
     where ev_class in (select oid from relation) and rulename <> '_RETURN'
    union all
    select 'children of tables', count(*) from pg_catalog.pg_inherits
     where inhrelid in (select oid from relation where relkind in ('r', 'p', 'f'))
    union all
    select case prokind when 'p' then 'procedures' when 'a' then 'aggregates' else 'functions' end, count(*)
      from pg_catalog.pg_proc
     where oid >= 16384 and oid not in (select objid from member where classid = 'pg_proc'::regclass)
       -- A range's constructors come and go with it, and there are more of them in later versions.
       and not exists (select 1 from pg_catalog.pg_depend d
                        where d.classid = 'pg_proc'::regclass and d.objid = pg_proc.oid and d.deptype = 'i')
     group by 1
    union all
    select case typtype when 'd' then 'domains' when 'e' then 'enums' else 'ranges' end, count(*)
      from pg_catalog.pg_type
     where oid >= 16384 and typtype in ('d', 'e', 'r')
       and oid not in (select objid from member where classid = 'pg_type'::regclass) group by 1
    union all
    select 'values of enums', count(*) from pg_catalog.pg_enum
     where enumtypid not in (select objid from member where classid = 'pg_type'::regclass)
    union all
    select 'schemas', count(*) from pg_catalog.pg_namespace
     where oid >= 16384 and nspname not like 'pg\_%' and nspname <> 'public'
       and oid not in (select objid from member where classid = 'pg_namespace'::regclass)
    union all
    select 'event triggers', count(*) from pg_catalog.pg_event_trigger
     where oid not in (select objid from member where classid = 'pg_event_trigger'::regclass)
    union all
    select 'publications', count(*) from pg_catalog.pg_publication
    union all
    select 'published tables', count(*) from pg_catalog.pg_publication_rel
    union all
    select 'extended statistics', count(*) from pg_catalog.pg_statistic_ext
    union all
    select 'casts', count(*) from pg_catalog.pg_cast
     where oid >= 16384 and oid not in (select objid from member where classid = 'pg_cast'::regclass)
       -- A multirange's cast is made with its range.
       and not exists (select 1 from pg_catalog.pg_depend d
                        where d.classid = 'pg_cast'::regclass and d.objid = pg_cast.oid and d.deptype = 'i')
    union all
    select 'operators', count(*) from pg_catalog.pg_operator
     where oid >= 16384 and oid not in (select objid from member where classid = 'pg_operator'::regclass)
    union all
    select 'operator classes', count(*) from pg_catalog.pg_opclass
     where oid >= 16384 and oid not in (select objid from member where classid = 'pg_opclass'::regclass)
    union all
    select 'collations', count(*) from pg_catalog.pg_collation
     where oid >= 16384 and oid not in (select objid from member where classid = 'pg_collation'::regclass)
    union all
    select 'conversions', count(*) from pg_catalog.pg_conversion
     where oid >= 16384 and oid not in (select objid from member where classid = 'pg_conversion'::regclass)
    union all
    select 'text search configurations', count(*) from pg_catalog.pg_ts_config
     where oid >= 16384 and oid not in (select objid from member where classid = 'pg_ts_config'::regclass)
    union all
    select 'text search dictionaries', count(*) from pg_catalog.pg_ts_dict
     where oid >= 16384 and oid not in (select objid from member where classid = 'pg_ts_dict'::regclass)
    union all
    select 'foreign servers', count(*) from pg_catalog.pg_foreign_server
     where oid not in (select objid from member where classid = 'pg_foreign_server'::regclass)
    union all
    select 'comments', count(*) from pg_catalog.pg_description
     where objoid >= 16384 and classoid <> 'pg_extension'::regclass
       -- Every database begins with one of its own, which may have been made anew since, under another oid.
       and (classoid, objoid) not in (select 'pg_namespace'::regclass, oid from pg_catalog.pg_namespace
                                       where nspname = 'public')
       and (classoid, objoid) not in (select classid, objid from member)
)
select kind, n from counted where n > 0 order by kind
