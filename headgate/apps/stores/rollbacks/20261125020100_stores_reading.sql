drop function stores.plain_version(timestamptz), stores.version_of(timestamptz, timestamptz), stores.texts(jsonb), stores.gid(text);
