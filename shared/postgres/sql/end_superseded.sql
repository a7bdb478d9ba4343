-- End every session whose name begins so and ends in a lower epoch, and wait for that. Others may take on such a
-- name as well: only of roles whose rights we have are they ours, and no superuser's are, unless we are one.
select pg_catalog.pg_terminate_backend(a.pid, 10000)
  from pg_catalog.pg_stat_activity a
  join pg_catalog.pg_roles whose on whose.oid = a.usesysid
  join pg_catalog.pg_roles me on me.rolname = current_user
 where pg_catalog.pg_has_role(whose.oid, 'usage')
   and (me.rolsuper or not whose.rolsuper)
   and case when pg_catalog.starts_with(a.application_name, %(job)s)
            then pg_catalog.split_part(a.application_name, ':', 3)::bigint < %(epoch)s::bigint end
