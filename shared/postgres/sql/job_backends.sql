-- Sessions that are named as a job's are, of roles whose rights we have; no superuser's, unless we are one.
select a.pid, a.application_name, a.backend_start as started_at,
       coalesce(pg_catalog.starts_with(a.state, 'idle'), false) as is_idle
  from pg_catalog.pg_stat_activity a
  join pg_catalog.pg_roles whose on whose.oid = a.usesysid
  join pg_catalog.pg_roles me on me.rolname = current_user
 where pg_catalog.pg_has_role(whose.oid, 'usage')
   and (me.rolsuper or not whose.rolsuper)
   and a.application_name ~ %(named)s
   and a.pid <> pg_catalog.pg_backend_pid()
 order by a.pid
