drop table stores.webhook_inbox;
