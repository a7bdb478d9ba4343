-- Which of the extensions %(names)s this server could create, and in which versions. What pg_restore creates is
-- the default one.
select a.name::text as name,
       a.default_version,
       coalesce(bool_or(v.superuser and not v.trusted) filter (where v.version = a.default_version), true)
           as needs_superuser
  from pg_catalog.pg_available_extensions a
  join pg_catalog.pg_available_extension_versions v on v.name = a.name
 where a.name = any (%(names)s)
 group by a.name, a.default_version
 order by 1
