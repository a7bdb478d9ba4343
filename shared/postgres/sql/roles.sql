-- Every role that this database needs: owners, grantees, members of policies and default privileges, and
-- those with settings of their own in it, which nothing else tells of.
select rolname
  from pg_catalog.pg_roles
 where oid in (select setrole
                 from pg_catalog.pg_db_role_setting
                where setdatabase = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
               union all
               select refobjid
                 from pg_catalog.pg_shdepend
                where refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
                  and (dbid = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
                       or (classid = 'pg_catalog.pg_database'::pg_catalog.regclass
                           and objid = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()))))
   and rolname not like 'pg\_%'
 order by 1
