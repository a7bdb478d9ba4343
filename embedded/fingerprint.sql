-- Everything about a database but its rows, large objects and positions of sequences: one line an item,
-- grouped by kind. Names are qualified, for the session's search path is empty.
with own as (
    select oid, nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'
), relation as (
    select c.*, c.oid::regclass::text as name from pg_class c join own on own.oid = relnamespace
), granted (what, acl) as (
    select 'schema ' || own.nspname, coalesce(nspacl, acldefault('n', nspowner))
      from own join pg_namespace n on n.oid = own.oid
    union all
    select name, coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner))
      from relation where relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    union all
    select name || '.' || attname, attacl
      from relation join pg_attribute on attrelid = relation.oid where attacl is not null
    union all
    select p.oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner))
      from pg_proc p join own on own.oid = pronamespace
    union all
    select format_type(t.oid, null), coalesce(typacl, acldefault('T', typowner))
      from pg_type t join own on own.oid = typnamespace where typtype in ('e', 'd')
    union all
    select 'large object ' || oid, coalesce(lomacl, acldefault('L', lomowner)) from pg_largeobject_metadata
    union all
    select 'database', coalesce(datacl, acldefault('d', datdba))
      from pg_database where datname = current_database()
    union all
    select 'default ' || coalesce(nspname, '*') || ' ' || defaclobjtype::text, defaclacl
      from pg_default_acl left join own on own.oid = defaclnamespace
)
select 'relations' as kind,
       concat_ws(' ', relkind, name, relpersistence, pg_get_userbyid(relowner), relrowsecurity,
                 relforcerowsecurity, reloptions, relreplident, relispopulated,
                 pg_get_partkeydef(oid), pg_get_expr(relpartbound, oid)) as line
  from relation where relkind <> 't'
union all
select 'columns',
       concat_ws(' ', name, row_number() over (partition by attrelid order by attnum), quote_ident(attname),
                 format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attcollation,
                 attstattarget, attoptions, pg_get_expr(adbin, adrelid))
  from relation
  join pg_attribute on attrelid = relation.oid and attnum > 0 and not attisdropped
  left join pg_attrdef on adrelid = attrelid and adnum = attnum
 where relkind in ('r', 'p', 'v', 'm', 'f', 'c')
union all
select 'constraints',
       concat_ws(' ', nullif(conrelid, 0)::regclass, nullif(contypid, 0)::regtype, conname,
                 pg_get_constraintdef(oid), convalidated)
  from pg_constraint where connamespace in (select oid from own)
union all
select 'indexes', concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid, indisclustered, indisreplident)
  from pg_index join relation on relation.oid = indexrelid
union all
select 'views', concat_ws(' ', name, pg_get_viewdef(oid)) from relation where relkind in ('v', 'm')
union all
select 'triggers', concat_ws(' ', pg_get_triggerdef(pg_trigger.oid), tgenabled)
  from pg_trigger join relation on relation.oid = tgrelid where not tgisinternal
union all
select 'policies', concat_ws(' ', polrelid::regclass, polname, polcmd, polroles::regrole[]::text,
                             pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
  from pg_policy
union all
select 'functions', concat_ws(' ', pg_get_userbyid(proowner), pg_get_functiondef(p.oid))
  from pg_proc p join own on own.oid = pronamespace where prokind in ('f', 'p', 'w')
union all
select 'types',
       concat_ws(' ', format_type(t.oid, null), typtype, pg_get_userbyid(typowner),
                 format_type(nullif(typbasetype, 0), typtypmod), typnotnull, typdefault,
                 (select array_agg(enumlabel order by enumsortorder) from pg_enum where enumtypid = t.oid))
  from pg_type t join own on own.oid = typnamespace where typtype in ('e', 'd')
union all
select 'sequences',
       concat_ws(' ', seqrelid::regclass, format_type(seqtypid, null), seqstart, seqincrement, seqmax,
                 seqmin, seqcache, seqcycle,
                 (select concat_ws('.', refobjid::regclass, refobjsubid, deptype)
                    from pg_depend
                   where classid = 'pg_class'::regclass and objid = seqrelid and deptype in ('a', 'i')
                     and refclassid = 'pg_class'::regclass))
  from pg_sequence join relation on relation.oid = seqrelid
union all
select 'statistics', pg_get_statisticsobjdef(oid) from pg_statistic_ext
 where stxnamespace in (select oid from own)
union all
select 'grants',
       concat_ws(' ', what, privilege_type, coalesce(nullif(grantee, 0)::regrole::text, 'public'),
                 'by', grantor::regrole, is_grantable)
  from granted, aclexplode(acl)
union all
select 'comments', concat_ws(' ', who.type, who.identity, description)
  from pg_description, pg_identify_object(classoid, objoid, objsubid) who
 where objoid >= 16384 or classoid = 'pg_largeobject'::regclass
union all
select 'settings', concat_ws(' ', nullif(setrole, 0)::regrole, setting)
  from pg_db_role_setting
  join pg_database on pg_database.oid = setdatabase and datname = current_database(),
       unnest(setconfig) setting
union all
select 'database',
       concat_ws(' ', pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype,
                 datconnlimit, datallowconn, shobj_description(oid, 'pg_database'))
  from pg_database where datname = current_database()
union all
select 'extensions', concat_ws(' ', extname, extversion) from pg_extension
