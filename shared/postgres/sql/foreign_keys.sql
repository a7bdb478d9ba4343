-- Every enforced foreign key, once: what partitions have of their tree's is left out.
select con.oid::bigint as oid,
       con.conname as name,
       child_ns.nspname as child_schema,
       child.relname as child_name,
       child.relkind = 'p' as child_is_tree,
       (select sum(pg_catalog.pg_relation_size(part.relid))::bigint
          from pg_catalog.pg_partition_tree(child.oid) part) as child_bytes,
       parent_ns.nspname as parent_schema,
       parent.relname as parent_name,
       parent.relkind = 'p' as parent_is_tree,
       con.confmatchtype = 'f' as is_full,
       coalesce((pg_catalog.to_jsonb(con) ->> 'conperiod')::bool, false) as is_temporal,
       columns.child as child_columns,
       columns.parent as parent_columns,
       columns.operator_schemas,
       columns.operators,
       exists (select 1
                 from pg_catalog.pg_trigger t
                where t.tgconstraint = con.oid and t.tgenabled in ('D', 'R')) as is_disabled
  from pg_catalog.pg_constraint con
  join pg_catalog.pg_class child on child.oid = con.conrelid
  join pg_catalog.pg_namespace child_ns on child_ns.oid = child.relnamespace
  join pg_catalog.pg_class parent on parent.oid = con.confrelid
  join pg_catalog.pg_namespace parent_ns on parent_ns.oid = parent.relnamespace
 cross join lateral (
        select array_agg(a.attname::text order by pair.n) as child,
               array_agg(b.attname::text order by pair.n) as parent,
               array_agg(opn.nspname::text order by pair.n) as operator_schemas,
               array_agg(op.oprname::text order by pair.n) as operators
          from rows from (pg_catalog.unnest(con.conkey), pg_catalog.unnest(con.confkey),
                          pg_catalog.unnest(con.conpfeqop)) with ordinality pair (child, parent, op, n)
          join pg_catalog.pg_attribute a on a.attrelid = con.conrelid and a.attnum = pair.child
          join pg_catalog.pg_attribute b on b.attrelid = con.confrelid and b.attnum = pair.parent
          join pg_catalog.pg_operator op on op.oid = pair.op
          join pg_catalog.pg_namespace opn on opn.oid = op.oprnamespace) columns
 where con.contype = 'f'
   and con.conparentid = 0
   and coalesce((pg_catalog.to_jsonb(con) ->> 'conenforced')::bool, true)
 order by child_ns.nspname, child.relname, con.conname
