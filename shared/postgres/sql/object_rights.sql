-- Objects whose owner is not the database's or whose privileges differ from PostgreSQL's own defaults, and
-- how: what pg_dump would have to say of them. PostgreSQL's own objects and those of extensions are left out.
-- Who granted something is not told: a restore grants all of it as the owner.
with home as (
    select datdba as owner, oid as database
      from pg_catalog.pg_database
     where datname = pg_catalog.current_database()
),
object (classid, objid, kind, name, owner, acl, usual) as (
    select 'pg_class'::regclass, c.oid,
           case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
                          when 'f' then 'foreign table' else 'table' end,
           pg_catalog.format('%I.%I', n.nspname, c.relname), c.relowner, c.relacl,
           pg_catalog.acldefault(case c.relkind when 'S' then 's'::"char" else 'r'::"char" end, c.relowner)
      from pg_catalog.pg_class c
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and c.relpersistence <> 't'
    union all
    select 'pg_class'::regclass, c.oid, 'column',
           pg_catalog.format('%I.%I.%I', n.nspname, c.relname, a.attname), home.owner, a.attacl, null::aclitem[]
      from home, pg_catalog.pg_attribute a
      join pg_catalog.pg_class c on c.oid = a.attrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where a.attacl is not null and not a.attisdropped and c.relpersistence <> 't'
    union all
    -- The schema public is there in every database, whoever made it: by its owner nothing is told.
    select 'pg_namespace'::regclass, n.oid, 'schema', pg_catalog.format('%I', n.nspname),
           case when n.nspname = 'public' and (n.nspowner = 10 or pg_catalog.pg_get_userbyid(n.nspowner) = 'pg_database_owner')
                then home.owner else n.nspowner end,
           -- With another owner it was made anew, or given away: a restore of either has the privileges of the first one's
           -- remembered all the same.
           n.nspacl, case when exists (select from pg_catalog.aclexplode(made.initprivs) first where first.grantee = n.nspowner)
                          then made.initprivs else pg_catalog.acldefault('n', n.nspowner) end
      from home, pg_catalog.pg_namespace n
      left join pg_catalog.pg_init_privs made
             on made.classoid = 'pg_namespace'::regclass and made.objoid = n.oid and made.objsubid = 0
     where n.nspname = 'public' or n.oid >= 16384
    union all
    select 'pg_proc'::regclass, oid, 'function', oid::regprocedure::text, proowner, proacl,
           pg_catalog.acldefault('f', proowner)
      from pg_catalog.pg_proc
     where oid >= 16384
    union all
    select 'pg_type'::regclass, t.oid, 'type', t.oid::regtype::text, t.typowner, t.typacl,
           pg_catalog.acldefault('T', t.typowner)
      from pg_catalog.pg_type t
      left join pg_catalog.pg_class c on c.oid = t.typrelid
     where t.typtype in ('d', 'e', 'r') or c.relkind = 'c'
    union all
    select 'pg_language'::regclass, oid, 'language', pg_catalog.format('%I', lanname), lanowner, lanacl,
           pg_catalog.acldefault('l', lanowner)
      from pg_catalog.pg_language
    union all
    select 'pg_foreign_data_wrapper'::regclass, oid, 'foreign-data wrapper', pg_catalog.format('%I', fdwname),
           fdwowner, fdwacl, pg_catalog.acldefault('F', fdwowner)
      from pg_catalog.pg_foreign_data_wrapper
    union all
    select 'pg_foreign_server'::regclass, oid, 'server', pg_catalog.format('%I', srvname), srvowner, srvacl,
           pg_catalog.acldefault('S', srvowner)
      from pg_catalog.pg_foreign_server
    union all
    select 'pg_largeobject'::regclass, oid, 'large object', oid::text, lomowner, lomacl,
           pg_catalog.acldefault('L', lomowner)
      from pg_catalog.pg_largeobject_metadata
    union all
    select 'pg_default_acl'::regclass, d.oid, 'default privileges',
           case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
                                when 'T' then 'types' when 'n' then 'schemas' else 'large objects' end
               || pg_catalog.format(' made by %I', pg_catalog.pg_get_userbyid(d.defaclrole))
               || case when d.defaclnamespace <> 0 then pg_catalog.format(' in %I', n.nspname) else '' end,
           home.owner, d.defaclacl,
           case when d.defaclnamespace <> 0 then null
                else pg_catalog.acldefault(case d.defaclobjtype when 'S' then 's'::"char" else d.defaclobjtype end,
                                           d.defaclrole) end
      from home, pg_catalog.pg_default_acl d
      left join pg_catalog.pg_namespace n on n.oid = d.defaclnamespace
    union all
    -- What has an owner and no privileges.
    select o.classid, o.objid, what.type, what.identity, o.refobjid, null, null
      from home, pg_catalog.pg_shdepend o,
           lateral pg_catalog.pg_identify_object(o.classid, o.objid, 0) what
     where o.deptype = 'o'
       and o.dbid = home.database
       and o.classid in ('pg_publication'::regclass, 'pg_event_trigger'::regclass, 'pg_operator'::regclass,
                         'pg_collation'::regclass, 'pg_conversion'::regclass, 'pg_statistic_ext'::regclass,
                         'pg_opclass'::regclass, 'pg_opfamily'::regclass, 'pg_ts_config'::regclass,
                         'pg_ts_dict'::regclass)
)
select o.kind, o.name, pg_catalog.pg_get_userbyid(o.owner) as owner, change.list as changes
  from home, object o,
       lateral (
           select coalesce(array_agg(sign || who.name || ' ' || privilege || case when grantable then ' with grant option' else '' end
                                     order by who.name, sign, privilege, grantable), '{}') as list
             from (select '+', more.*
                     from (select grantee, privilege_type, is_grantable from pg_catalog.aclexplode(o.acl)
                           except
                           select grantee, privilege_type, is_grantable from pg_catalog.aclexplode(o.usual)) more
                    where o.acl is not null
                   union all
                   select '-', less.*
                     from (select grantee, privilege_type, is_grantable from pg_catalog.aclexplode(o.usual)
                           except
                           select grantee, privilege_type, is_grantable from pg_catalog.aclexplode(o.acl)) less
                    where o.acl is not null) change (sign, grantee, privilege, grantable),
                  lateral (select case when change.grantee = 0 then 'public'
                                       else pg_catalog.format('%I', pg_catalog.pg_get_userbyid(change.grantee)) end) who (name)
       ) change
 where (o.objid >= 16384 or (o.kind = 'schema' and o.name = 'public'))
   and (o.owner <> home.owner or o.acl is not null)
   and (o.owner <> home.owner or change.list <> '{}')
   and not exists (select 1
                     from pg_catalog.pg_depend member
                    where member.classid = o.classid and member.objid = o.objid and member.deptype = 'e')
 order by 1, 2, 3
