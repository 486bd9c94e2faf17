drop function stores.promote_batch(bigint, bigint, jsonb), stores.bad_lines(bigint, bigint, bigint, timestamptz),
    stores.put_lines(bigint, bigint), stores.part_orphans(bigint, bigint, "char", "char"[]),
    stores.note_parents(bigint, bigint, "char"), stores.spread(bigint, jsonb, timestamptz, bigint, bigint),
    stores.hold(bigint), stores.id_of("char", jsonb), stores.kind_of(jsonb);
