-- Who a database is: %(name)s, else the one that the session is in. to_jsonb, because what a row of pg_database holds differs by major version.
select (select system_identifier::text from pg_catalog.pg_control_system()) as system_identifier,
       d.oid::bigint as oid,
       d.datname as dbname,
       pg_catalog.current_setting('server_version') as server_version,
       pg_catalog.current_setting('server_version_num')::int as server_version_num,
       pg_catalog.pg_encoding_to_char(d.encoding) as encoding,
       coalesce(row ->> 'datlocprovider', 'c') as locale_provider,
       d.datcollate as collate,
       d.datctype as ctype,
       coalesce(row ->> 'datlocale', row ->> 'daticulocale') as locale,
       row ->> 'datcollversion' as collation_version,
       row ->> 'daticurules' as icu_rules,
       (select spcname
          from pg_catalog.pg_tablespace
         where oid = d.dattablespace
           and spcname <> 'pg_default') as tablespace
  from pg_catalog.pg_database d,
       lateral pg_catalog.to_jsonb(d) row
 where d.datname = coalesce(%(name)s::pg_catalog.name, pg_catalog.current_database())
