-- What belongs to a database and that no archive carries.
select pg_catalog.pg_get_userbyid(d.datdba) as owner,
       pg_catalog.shobj_description(d.oid, 'pg_database') as comment,
       d.datconnlimit as connection_limit,
       d.datistemplate as is_template,
       case when d.datacl is not null then
           (select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                       'grantee', case when a.grantee = 0 then '' else pg_catalog.pg_get_userbyid(a.grantee) end,
                       'privilege', a.privilege_type,
                       'grantable', a.is_grantable)
                   order by a.grantee, a.privilege_type), '[]')
              from pg_catalog.aclexplode(d.datacl) a)
       end as grants,
       (select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                   'role', case when s.setrole <> 0 then pg_catalog.pg_get_userbyid(s.setrole) end,
                   'name', pg_catalog.split_part(entry, '=', 1),
                   'value', pg_catalog.substr(entry, pg_catalog.strpos(entry, '=') + 1))
               order by s.setrole, entry), '[]')
          from pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) entry
         where s.setdatabase = d.oid) as settings
  from pg_catalog.pg_database d
 where d.datname = %(name)s
