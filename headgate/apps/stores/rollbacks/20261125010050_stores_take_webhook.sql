drop function stores.requeue_webhooks(double precision);
drop function stores.take_webhook(text, text, text, text, text, timestamptz, integer, jsonb, text, bytea);
drop index stores.webhook_inbox_digest;
alter table stores.webhook_inbox drop column digest;
alter table stores.connections drop column webhooks;
