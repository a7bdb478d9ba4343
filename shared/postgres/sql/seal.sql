-- What tells whether anybody was in the database %(oid)s, or did anything to it.
select (select system_identifier::text from pg_catalog.pg_control_system()) as system_identifier,
       d.oid::bigint as oid,
       current_user::text as role,
       d.xmin::text as entry,
       not d.datallowconn as is_closed,
       s.sessions,
       s.stats_reset::text as counted_since,
       pg_catalog.current_setting('server_version_num')::int as server_version,
       (select count(*)::int from pg_catalog.pg_db_role_setting where setdatabase = d.oid) as settings
  from pg_catalog.pg_database d
  left join pg_catalog.pg_stat_database s on s.datid = d.oid
 where d.oid = %(oid)s
