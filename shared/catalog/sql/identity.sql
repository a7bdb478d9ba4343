-- The system identifier of the catalog's server, and the oid of its database.
select (select system_identifier::text from pg_control_system()), oid
  from pg_database
 where datname = current_database()
