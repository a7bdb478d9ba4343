-- What stands between the session's role and a swap of the database %(name)s. Whose sessions are in it is
-- seen by every role, what they do is not: so nothing else of them is asked for here.
select me.rolsuper or me.rolcreatedb as may_create,
       coalesce((select pg_catalog.pg_has_role(d.datdba, 'usage')
                   from pg_catalog.pg_database d
                  where d.datname = %(name)s), true) as may_rename,
       array(select distinct a.usename::text
               from pg_catalog.pg_stat_activity a
               join pg_catalog.pg_roles other on other.oid = a.usesysid
              where a.datname = %(name)s
                and not me.rolsuper
                and (other.rolsuper
                     or not (pg_catalog.pg_has_role(other.oid, 'usage')
                             or pg_catalog.pg_has_role('pg_signal_backend', 'usage')))
              order by 1) as out_of_reach
  from pg_catalog.pg_roles me
 where me.rolname = current_user
