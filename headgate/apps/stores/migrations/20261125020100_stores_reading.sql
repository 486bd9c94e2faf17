-- How Shopify's values are read.
create function stores.gid(p_gid text) returns bigint
language sql immutable parallel safe
return split_part(split_part(p_gid, '/', 5), '?', 1)::bigint;
comment on function stores.gid is 'The number in a global id such as gid://shopify/Order/1.';

create function stores.texts(p_list jsonb) returns text[]
language sql immutable parallel safe
return case when jsonb_typeof(p_list) = 'array' and jsonb_array_length(p_list) > 0
            then array(select jsonb_array_elements_text(p_list)) else '{}'::text[] end;
comment on function stores.texts is 'A JSON array of texts as an array.';

-- Shopify's updatedAt has whole seconds. Within one second an object may change after it was read; reads more than a
-- minute later all saw the same. So the time from the change to the read goes below the second.
create function stores.version_of(p_updated timestamptz, p_read timestamptz) returns timestamptz
language sql immutable parallel safe
return date_trunc('second', coalesce(p_updated, p_read))
       + interval '1 second' * (least(greatest(extract(epoch from p_read - coalesce(p_updated, p_read)), 0), 60) / 61.0);
comment on function stores.version_of is 'Orders states of one object: by updatedAt, then by how soon after it they were read.';

create function stores.plain_version(p_version timestamptz) returns timestamptz
language sql immutable parallel safe
return date_trunc('second', p_version);
comment on function stores.plain_version is 'The updatedAt in a version.';
revoke execute on function stores.gid(text), stores.texts(jsonb), stores.version_of(timestamptz, timestamptz), stores.plain_version(timestamptz)
    from public;
