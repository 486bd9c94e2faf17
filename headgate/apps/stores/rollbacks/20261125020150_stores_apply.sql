drop function stores.redact_people(bigint, bigint, bigint[]), stores.erase_rows(bigint), stores.set_zone(bigint, text, text),
    stores.apply_delete(bigint, text, bigint), stores.mark_days(bigint, jsonb), stores.apply_objects(bigint, jsonb, timestamptz);
