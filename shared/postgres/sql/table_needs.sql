-- What some relations need that does not come along with them: types, functions, collations, shared
-- sequences, schemas, as `pg_get_object_address` takes their names in another database.
with moving as (
    select oid from pg_catalog.unnest(%(relations)s::pg_catalog.oid[]) relation (oid)
),
objects as (
    select 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid as classid, oid as objid from moving
    union all
    select 'pg_catalog.pg_type'::pg_catalog.regclass, reltype
      from pg_catalog.pg_class where oid in (select oid from moving) and reltype <> 0
    union all
    select 'pg_catalog.pg_attrdef'::pg_catalog.regclass, oid
      from pg_catalog.pg_attrdef where adrelid in (select oid from moving)
    union all
    select 'pg_catalog.pg_constraint'::pg_catalog.regclass, oid
      from pg_catalog.pg_constraint where conrelid in (select oid from moving)
    union all
    select 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, oid
      from pg_catalog.pg_statistic_ext where stxrelid in (select oid from moving)
),
needs as (
    select distinct d.refclassid, d.refobjid
      from pg_catalog.pg_depend d
      join objects using (classid, objid)
     where not exists (select 1 from objects o where (o.classid, o.objid) = (d.refclassid, d.refobjid))
)
select address.type, address.object_names, address.object_args,
       known.type || ' ' || known.identity as said
  from needs
 cross join lateral pg_catalog.pg_identify_object_as_address(refclassid, refobjid, 0) address
 cross join lateral pg_catalog.pg_identify_object(refclassid, refobjid, 0) known
 order by said
